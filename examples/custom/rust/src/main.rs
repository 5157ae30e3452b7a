//! Area of a rectangle, with AWS's library for Rust.

use lambda_runtime::{run, service_fn, Error, LambdaEvent};
use serde::{Deserialize, Serialize};

#[derive(Deserialize)]
struct Rectangle {
    length: f64,
    width: f64,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Answer {
    area: f64,
    request_id: String,
}

async fn handle(event: LambdaEvent<Rectangle>) -> Result<Answer, Error> {
    let Rectangle { length, width } = event.payload;
    if length < 0.0 || width < 0.0 {
        return Err("a side is negative".into());
    }
    println!("the area is {}", length * width);
    Ok(Answer { area: length * width, request_id: event.context.request_id })
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    run(service_fn(handle)).await
}
