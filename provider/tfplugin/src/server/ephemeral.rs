//! Ephemeral resources: opened, renewed, closed.

use proto::{Timestamp, tfplugin6 as wire};

use super::{Server, answer::Failure, answer::with_diagnostics};
use plugin::{Bounds, Diagnostics, Lease, Opened, Provider, Sides};
use tokio_util::sync::CancellationToken;

use crate::{convert, layout::Layout};

impl<P: Provider> Server<P> {
    pub(super) fn validate_ephemeral(
        &self,
        request: &wire::validate_ephemeral_resource_config::Request,
    ) -> Result<wire::validate_ephemeral_resource_config::Response, Failure> {
        let resource = self.ephemeral_resource(&request.type_name)?;
        let config = convert::read(request.config.as_ref(), &resource.layout.kind)?;
        Ok(with_diagnostics::<P, _>(
            wire::validate_ephemeral_resource_config::Response::default(),
            resource.validate(config),
            &resource.layout.kind,
        ))
    }

    pub(super) async fn open(
        &self,
        request: wire::open_ephemeral_resource::Request,
    ) -> Result<wire::open_ephemeral_resource::Response, Failure> {
        let resource = self.ephemeral_resource(&request.type_name)?;
        let config = convert::read(request.config.as_ref(), &resource.layout.kind)?;
        let context = self.context()?;
        let input = resource.layout.split(config).unwrap_or_default().input;
        let limit = resource.served.described().limits.for_value(&input).read;
        let opened = resource.served.open(&context, &input, self.bounds(limit));
        let (reply, diagnostics) = match opened.await {
            Ok(Opened {
                output,
                lease,
                diagnostics,
            }) => {
                let result = Layout::merge(Some(Sides { input, output }));
                let reply = wire::open_ephemeral_resource::Response {
                    result: Some(convert::write(&result)),
                    renew_at: renew_at(&lease),
                    private: Some(lease.kept),
                    ..Default::default()
                };
                (reply, diagnostics)
            }
            Err(diagnostics) => (
                wire::open_ephemeral_resource::Response::default(),
                diagnostics,
            ),
        };
        Ok(with_diagnostics::<P, _>(
            reply,
            diagnostics,
            &resource.layout.kind,
        ))
    }

    pub(super) async fn renew(
        &self,
        request: wire::renew_ephemeral_resource::Request,
    ) -> Result<wire::renew_ephemeral_resource::Response, Failure> {
        let resource = self.ephemeral_resource(&request.type_name)?;
        let (context, kept) = (self.context()?, request.private.unwrap_or_default());
        let limit = resource.served.described().limits.read;
        let renewed = resource.served.renew(&context, &kept, self.bounds(limit));
        let (lease, diagnostics) = match renewed.await {
            Ok(lease) => (lease, Diagnostics::none()),
            Err(diagnostics) => (
                Lease {
                    kept,
                    ..Lease::default()
                },
                diagnostics,
            ),
        };
        let reply = wire::renew_ephemeral_resource::Response {
            renew_at: renew_at(&lease),
            private: Some(lease.kept),
            ..Default::default()
        };
        Ok(with_diagnostics::<P, _>(
            reply,
            diagnostics,
            &resource.layout.kind,
        ))
    }

    pub(super) async fn close(
        &self,
        request: wire::close_ephemeral_resource::Request,
    ) -> Result<wire::close_ephemeral_resource::Response, Failure> {
        let resource = self.ephemeral_resource(&request.type_name)?;
        let (context, kept) = (self.context()?, request.private.unwrap_or_default());
        // It is not stopped: a run that was is when it is needed most.
        let bounds = Bounds {
            limit: resource.served.described().limits.read,
            stop: CancellationToken::new(),
        };
        let (Ok(diagnostics) | Err(diagnostics)) =
            resource.served.close(&context, &kept, bounds).await;
        Ok(with_diagnostics::<P, _>(
            wire::close_ephemeral_resource::Response::default(),
            diagnostics,
            &resource.layout.kind,
        ))
    }
}

fn renew_at(lease: &Lease) -> Option<Timestamp> {
    lease.renew_at.map(|at| Timestamp {
        seconds: at.as_second(),
        nanos: at.subsec_nanosecond(),
    })
}
