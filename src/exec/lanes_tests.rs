//! Lanes alone: threads that are given up, jobs that wait for one, the end.

use std::path::Path;
use std::time::Duration;

use crossbeam::channel::{bounded, unbounded};

use super::lanes::{Class, LaneKey, Lanes, Run};
use crate::error::{Kind, Result};
use crate::io::Watch;
use crate::sync::Arc;

const DEADLINE: Duration = Duration::from_millis(100);
/// Much longer than anything takes that works.
const PATIENCE: Duration = Duration::from_secs(30);

fn push(lanes: &Arc<Lanes>, folder: &str, run: Run) {
    lanes.push(&LaneKey::new(Path::new(folder)), Class::Meta, &Arc::new(Watch::default()), run);
}

#[test]
fn a_job_that_waited_for_a_thread_gets_one_when_all_are_given_up() {
    let lanes = Lanes::new(2, DEADLINE);
    lanes.start();
    let (hold, held) = bounded::<()>(0);
    let (begun, begins) = unbounded();
    // As many as there may be threads, four a directory.
    for n in 0..128 {
        let (held, begun) = (held.clone(), begun.clone());
        let run = move |may: Result<()>| {
            let _ = begun.send(may.is_ok());
            let _ = held.recv();
        };
        push(&lanes, &format!("dead {}", n / 4), Box::new(run));
    }
    for _ in 0..128 {
        assert_eq!(begins.recv_timeout(PATIENCE), Ok(true));
    }
    let (done, ends) = bounded(1);
    push(&lanes, "fine", Box::new(move |may| assert!(done.send(may.is_ok()).is_ok())));
    assert!(ends.is_empty() && lanes.is_busy());
    std::thread::sleep(2 * DEADLINE);
    assert_eq!(lanes.give_up_stuck().len(), 128);
    assert_eq!(ends.recv_timeout(PATIENCE), Ok(true));
    drop(hold);
    lanes.stop();
}

#[test]
fn jobs_that_have_not_begun_are_refused_at_the_end() {
    let lanes = Lanes::new(2, PATIENCE);
    let (hold, held) = bounded::<()>(0);
    let (begun, begins) = unbounded();
    for _ in 0..6 {
        let (held, begun) = (held.clone(), begun.clone());
        let run = move |may: Result<()>| {
            let _ = begun.send(may.map_err(|e| e.kind()));
            let _ = held.recv();
        };
        push(&lanes, "a", Box::new(run));
    }
    for _ in 0..4 {
        assert_eq!(begins.recv_timeout(PATIENCE), Ok(Ok(())));
    }
    drop(hold);
    // Two more wait for a slot; they run or are refused, none is lost.
    lanes.stop();
    for _ in 0..2 {
        let found = begins.recv_timeout(PATIENCE).expect("an answer");
        assert!(matches!(found, Ok(()) | Err(Kind::Stuck)), "{found:?}");
    }
    push(&lanes, "a", Box::new(move |may| assert_eq!(may.unwrap_err().kind(), Kind::Stuck)));
}
