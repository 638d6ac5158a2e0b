//! A stream of an HTTP/2 connection.

use super::{Answer, in_time};
use crate::Failure;
use bytes::{Bytes, BytesMut};
use h2::client::SendRequest;
use http::Request;

/// One request and its answer.
pub(crate) async fn exchange(
    requests: &SendRequest<Bytes>,
    request: Request<()>,
    body: Bytes,
) -> Result<Answer, Failure> {
    in_time(async {
        let mut requests = requests.clone().ready().await?;
        let (response, mut outgoing) = requests.send_request(request, body.is_empty())?;
        if !body.is_empty() {
            outgoing.send_data(body, true)?;
        }
        let (head, mut incoming) = response.await?.into_parts();
        let mut body = BytesMut::new();
        while let Some(part) = incoming.data().await {
            let part = part?;
            incoming.flow_control().release_capacity(part.len())?;
            body.extend_from_slice(&part);
        }
        Ok(Answer {
            status: head.status.as_u16(),
            body: body.freeze(),
            may_stay: true,
        })
    })
    .await?
}
