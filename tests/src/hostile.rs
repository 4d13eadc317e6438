//! Peers that mean harm as processes: started, asked what became of them, ended. What each mode does is in `bin/hostile.rs`.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use serde_json::Value;

use crate::process::Outcome;

/// A hostile peer at work, until it is dropped.
pub struct Hostile {
    child: Child,
    orders: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Hostile {
    /// Starts one with the key of the organisation in `data`, whose node does not run, in a network namespace if one is named.
    /// After its mode come addresses from which it connects, if it is to use several.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start(
        program: &str,
        space: Option<&str>,
        data: &Path,
        address: &str,
        mode: &[String],
    ) -> Outcome<Self> {
        let mut command = match space {
            Some(space) => {
                let mut command = Command::new("ip");
                command.args(["netns", "exec", space, program]);
                command
            }
            None => Command::new(program),
        };
        command.arg(data).arg(address).args(mode).env("COUNTERFOIL_PASSPHRASE", "for tests alone");
        command.env_remove("COUNTERFOIL_PASSPHRASE_FILE");
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let orders = child.stdin.take().ok_or("no input")?;
        let answers = BufReader::new(child.stdout.take().ok_or("no output")?);
        Ok(Self { child, orders, answers })
    }

    /// What became of it so far.
    ///
    /// # Errors
    /// When it has ended.
    pub fn fate(&mut self) -> Outcome<Fate> {
        writeln!(self.orders, "fate")?;
        let mut line = String::new();
        if self.answers.read_line(&mut line)? == 0 {
            return Err("it has ended".into());
        }
        Ok(Fate(serde_json::from_str(&line)?))
    }
}

impl Drop for Hostile {
    fn drop(&mut self) {
        // It has ended already where it failed.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What became of a hostile peer.
#[derive(Debug)]
pub struct Fate(Value);

impl Fate {
    /// How often something came about.
    pub fn count(&self, what: &str) -> u64 {
        self.0.get(what).and_then(Value::as_u64).unwrap_or_default()
    }

    /// Whether it was let in as a member's.
    pub fn is_introduced(&self) -> bool {
        self.0.get("introduced") == Some(&Value::Bool(true))
    }
}
