//! F1: the server is killed again and again while clients upload.

use super::{Fault, Plan, Seen};

pub(super) const FAULT: Fault = Fault {
    number: "F1",
    name: "kill-loop",
    about: "SIGKILL at random while 8 clients upload: every acknowledged photo is there once, byte for byte",
    long_rounds: 200,
    short_rounds: 5,
    run,
};

fn run(plan: Plan) -> anyhow::Result<Seen> {
    Ok(Seen(format!("{plan:?}")))
}
