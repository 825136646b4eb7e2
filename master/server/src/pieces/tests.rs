use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use http_body_util::BodyExt;
use hyper::body::Body;

use super::*;

const WITHIN: Duration = Duration::from_secs(60);

/// Numbers up to `end`; counts those that are written.
fn numbers(end: usize, count: &Arc<AtomicUsize>) -> Answer {
    let count = count.clone();
    Answer::new(Media::Json, move |media| {
        let (mut from, count) = (0, count.clone());
        Fields::whole(media, |fields| {
            fields.list("numbers", 0, move |room| {
                let write = |number: usize, room: &mut Room<'_>| {
                    count.fetch_add(1, Ordering::Relaxed);
                    room.json().extend_from_slice(number.to_string().as_bytes());
                };
                match fill(room, (from..end).map(|number| (number, number)), write) {
                    Some(last) => from = last + 1,
                    None => return Progress::End,
                }
                Progress::Full
            });
        })
    })
}

#[tokio::test]
async fn small_answers_have_a_length_and_large_ones_are_streamed() {
    for (end, is_whole) in [(0, true), (3, true), (1_000_000, false)] {
        let answer = numbers(end, &Arc::default()).response().await.into_body();
        assert_eq!(answer.size_hint().exact().is_some(), is_whole);
        let text = answer.collect().await.unwrap().to_bytes();
        let shown: serde_json::Value = serde_json::from_slice(&text).unwrap();
        let numbers = shown["numbers"].as_array().unwrap().iter().map(|number| number.as_u64());
        assert!(numbers.eq((0..end as u64).map(Some)), "{end}");
    }
}

#[tokio::test]
async fn readers_that_take_nothing_hold_two_pieces_each_and_no_thread() {
    let count = Arc::<AtomicUsize>::default();
    let mut stalled = Vec::new();
    for _ in 0..50 {
        stalled.push(tokio::time::timeout(WITHIN, numbers(10_000_000, &count).response()).await.unwrap());
    }
    // All the while others are answered in full.
    let other = numbers(1_000_000, &Arc::default()).response();
    let other = tokio::time::timeout(WITHIN, async { other.await.into_body().collect().await }).await;
    assert!(other.unwrap().unwrap().to_bytes().len() > 6_000_000);
    // Numbers of six digits and a comma at the least, but for the first ones.
    let most = 50 * (100_000 + 2 * (PIECE + SLACK) / 7);
    let written = count.load(Ordering::Relaxed);
    assert!(written <= most, "{written} numbers are written for those who read none, not {most}");
}

#[tokio::test]
async fn an_answer_that_cannot_be_written_ends_and_the_next_one_is_written() {
    let broken = Answer::new(Media::Json, |media| {
        Fields::whole(media, |fields| fields.list("broken", 0, |_| panic!("broken on purpose")))
    });
    assert_eq!(broken.response().await.status(), StatusCode::INTERNAL_SERVER_ERROR);
    assert_eq!(numbers(3, &Arc::default()).response().await.status(), StatusCode::OK);
}
