//! Ephemeral resources: opened, renewed, closed.

use proto::{Timestamp, tfplugin6 as wire};

use super::{Server, answer::Failure, answer::telling};
use crate::{Diagnostics, Lease, Provider, wire as convert};

impl<P: Provider> Server<P> {
    pub(super) fn validate_ephemeral(
        &self,
        request: &wire::validate_ephemeral_resource_config::Request,
    ) -> Result<wire::validate_ephemeral_resource_config::Response, Failure> {
        let resource = self.ephemeral_resource(&request.type_name)?;
        let config = convert::read(request.config.as_ref(), resource.kind())?;
        let told = resource.validate(&config);
        Ok(telling(
            wire::validate_ephemeral_resource_config::Response::default(),
            told,
            resource.kind(),
        ))
    }

    pub(super) async fn open(
        &self,
        request: wire::open_ephemeral_resource::Request,
    ) -> Result<wire::open_ephemeral_resource::Response, Failure> {
        let resource = self.ephemeral_resource(&request.type_name)?;
        let config = convert::read(request.config.as_ref(), resource.kind())?;
        let context = self.context()?;
        let opened = resource.open(&context, &config, self.stop.token()).await;
        let (reply, told) = match opened {
            Ok((result, lease)) => {
                let reply = wire::open_ephemeral_resource::Response {
                    result: Some(convert::write(&result)),
                    renew_at: renew_at(&lease),
                    private: Some(lease.kept),
                    ..Default::default()
                };
                (reply, Diagnostics::none())
            }
            Err(told) => (wire::open_ephemeral_resource::Response::default(), told),
        };
        Ok(telling(reply, told, resource.kind()))
    }

    pub(super) async fn renew(
        &self,
        request: wire::renew_ephemeral_resource::Request,
    ) -> Result<wire::renew_ephemeral_resource::Response, Failure> {
        let resource = self.ephemeral_resource(&request.type_name)?;
        let (context, kept) = (self.context()?, request.private.unwrap_or_default());
        let renewed = resource.renew(&context, &kept, self.stop.token()).await;
        let (lease, told) = match renewed {
            Ok(lease) => (lease, Diagnostics::none()),
            Err(told) => (
                Lease {
                    kept,
                    ..Lease::default()
                },
                told,
            ),
        };
        let reply = wire::renew_ephemeral_resource::Response {
            renew_at: renew_at(&lease),
            private: Some(lease.kept),
            ..Default::default()
        };
        Ok(telling(reply, told, resource.kind()))
    }

    pub(super) async fn close(
        &self,
        request: wire::close_ephemeral_resource::Request,
    ) -> Result<wire::close_ephemeral_resource::Response, Failure> {
        let resource = self.ephemeral_resource(&request.type_name)?;
        let (context, kept) = (self.context()?, request.private.unwrap_or_default());
        let (Ok(told) | Err(told)) = resource.close(&context, &kept).await;
        Ok(telling(
            wire::close_ephemeral_resource::Response::default(),
            told,
            resource.kind(),
        ))
    }
}

fn renew_at(lease: &Lease) -> Option<Timestamp> {
    lease.renew_at.map(|at| Timestamp {
        seconds: at.as_second(),
        nanos: at.subsec_nanosecond(),
    })
}
