//! go-plugin's own services: the end of the process, and two streams that stay silent.

use futures::StreamExt;
use futures::stream::{self, BoxStream};
use proto::plugin::grpc_broker_server::GrpcBroker;
use proto::plugin::grpc_controller_server::GrpcController;
use proto::plugin::grpc_stdio_server::GrpcStdio;
use proto::plugin::{ConnInfo, Empty, StdioData};
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status, Streaming};

type Silence<T> = BoxStream<'static, Result<T, Status>>;

/// Serves controller, broker and standard output until `exit` is cancelled, which `Shutdown` does.
#[derive(Clone, Debug)]
pub(super) struct Plugin {
    /// Cancelled when the process shall end.
    pub(super) exit: CancellationToken,
}

impl Plugin {
    /// A stream without items that ends with the process, so that it does not hold it up.
    fn silence<T: Send + 'static>(&self) -> Response<Silence<T>> {
        Response::new(
            stream::pending()
                .take_until(self.exit.clone().cancelled_owned())
                .boxed(),
        )
    }
}

#[tonic::async_trait]
impl GrpcController for Plugin {
    async fn shutdown(&self, _: Request<Empty>) -> Result<Response<Empty>, Status> {
        self.exit.cancel();
        Ok(Response::new(Empty {}))
    }
}

#[tonic::async_trait]
impl GrpcBroker for Plugin {
    async fn start_stream(
        &self,
        _: Request<Streaming<ConnInfo>>,
    ) -> Result<Response<Silence<ConnInfo>>, Status> {
        Ok(self.silence())
    }
}

#[tonic::async_trait]
impl GrpcStdio for Plugin {
    async fn stream_stdio(
        &self,
        _: Request<Empty>,
    ) -> Result<Response<Silence<StdioData>>, Status> {
        Ok(self.silence())
    }
}
