//! Real nodes as processes: founded, started, asked, killed.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use counterfoil_node::cli::client::{Address, Client};
use counterfoil_node::data::DataDir;
use serde_json::Value;

/// Longest wait for anything that other processes do.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// One organisation's node. Dropping it kills the process.
pub struct Process {
    program: PathBuf,
    data: PathBuf,
    /// Where it listens, so that its peers find it again after it was killed.
    listen: Vec<String>,
    /// The network namespace that it runs in, if it is not this process's.
    space: Option<String>,
    /// Arguments of every start.
    always: Vec<String>,
    child: Mutex<Option<Child>>,
}

/// Anything that goes wrong with a process is a failed test.
pub type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

impl Process {
    /// Founds an organisation in `data`.
    ///
    /// # Errors
    /// When it cannot be founded.
    pub fn found(program: &str, data: &Path, name: &str) -> Outcome<Self> {
        let process = Self::at(program, data);
        process.run(&["init", "--name", name])?;
        Ok(process)
    }

    /// Founds an organisation in `data`, and starts its node.
    ///
    /// # Errors
    /// When it cannot be founded, or does not start.
    pub fn started(program: &str, data: &Path, name: &str) -> Outcome<Self> {
        let process = Self::found(program, data, name)?;
        process.start()?;
        Ok(process)
    }

    /// The organisation whose data lie in `data` already.
    pub fn at(program: &str, data: &Path) -> Self {
        Self {
            program: program.into(),
            data: data.into(),
            listen: Vec::new(),
            space: None,
            always: Vec::new(),
            child: Mutex::default(),
        }
    }

    /// Runs the node in a network namespace, listening at these addresses. Commands reach it through its socket all the same.
    #[must_use]
    pub fn within(mut self, space: &str, listen: &[String]) -> Self {
        self.space = Some(space.to_owned());
        self.listen = listen.to_vec();
        self
    }

    /// Gives every start of the node these arguments too.
    pub fn always(&mut self, arguments: &[&str]) {
        self.always.extend(arguments.iter().map(|one| (*one).to_owned()));
    }

    /// Where it is told to listen.
    pub fn listening(&self) -> &[String] {
        &self.listen
    }

    /// The node's API, over the socket in its data directory.
    pub fn client(&self) -> Client {
        Client::new(Address::Socket(DataDir::new(&self.data).socket()))
    }

    /// Memory of the running process, in KiB: resident, without what files on disk back, such as the program itself.
    ///
    /// # Errors
    /// When it does not run.
    pub fn resident_kib(&self) -> Outcome<u64> {
        let child = self.child.lock().unwrap_or_else(PoisonError::into_inner);
        let pid = child.as_ref().ok_or("it does not run")?.id();
        let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
        let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:"));
        let number = line.and_then(|line| line.split_whitespace().next()).ok_or("no memory is shown")?;
        Ok(number.parse()?)
    }

    fn command(&self, arguments: &[&str]) -> Command {
        self.command_in(None, arguments)
    }

    /// The command, in a namespace if one is named: `ip` makes way for it there, under one process id.
    fn command_in(&self, space: Option<&str>, arguments: &[&str]) -> Command {
        let mut command = match space {
            Some(space) => {
                let mut command = Command::new("ip");
                command.args(["netns", "exec", space]).arg(&self.program);
                command
            }
            None => Command::new(&self.program),
        };
        command.arg("--data").arg(&self.data).arg("--json").args(arguments);
        command.env("COUNTERFOIL_PASSPHRASE", "for tests alone").stdin(Stdio::null());
        command.env_remove("COUNTERFOIL_PASSPHRASE_FILE");
        command
    }

    /// Starts the node and waits until it serves.
    ///
    /// # Errors
    /// When it does not start.
    pub fn start(&self) -> Outcome<()> {
        self.start_with(&[])
    }

    /// Starts the node with further arguments and waits until it serves.
    ///
    /// # Errors
    /// When it does not start.
    pub fn start_with(&self, further: &[&str]) -> Outcome<()> {
        let anywhere = ["/ip4/127.0.0.1/tcp/0".to_owned()];
        let listen = if self.listen.is_empty() { &anywhere[..] } else { &self.listen };
        let mut arguments = vec!["run", "--api", "127.0.0.1:0"];
        if !self.always.iter().any(|argument| argument == "--anchor") {
            arguments.extend(["--anchor", "0"]);
        }
        listen.iter().for_each(|address| arguments.extend(["--listen", address]));
        arguments.extend(self.always.iter().map(String::as_str));
        arguments.extend(further);
        let log = std::fs::OpenOptions::new().create(true).append(true).open(self.data.join("node.log"))?;
        let mut child =
            self.command_in(self.space.as_deref(), &arguments).stdout(Stdio::piped()).stderr(log).spawn()?;
        let stdout = child.stdout.take().ok_or("no output")?;
        *self.child.lock().unwrap_or_else(PoisonError::into_inner) = Some(child);
        let mut line = String::new();
        if BufReader::new(stdout).read_line(&mut line)? == 0 {
            let log = std::fs::read_to_string(self.data.join("node.log"))?;
            return Err(format!("{} did not start: {log}", self.data.display()).into());
        }
        Ok(())
    }

    /// Keeps the addresses at which it listens now.
    ///
    /// # Errors
    /// When it does not answer.
    pub fn keep_addresses(&mut self) -> Outcome<()> {
        let status = self.until(&["status"], |status| {
            status.get("addresses").and_then(Value::as_array).is_some_and(|all| !all.is_empty())
        })?;
        let addresses = status.get("addresses").and_then(Value::as_array).into_iter().flatten();
        self.listen = addresses
            .filter_map(Value::as_str)
            .filter_map(|address| address.split("/p2p/").next())
            .map(str::to_owned)
            .collect();
        Ok(())
    }

    /// Kills the process where it stands (SIGKILL).
    ///
    /// # Errors
    /// When it has ended already.
    pub fn kill(&self) -> Outcome<()> {
        let child = self.child.lock().unwrap_or_else(PoisonError::into_inner).take();
        let mut child = child.ok_or("it does not run")?;
        child.kill()?;
        child.wait()?;
        Ok(())
    }

    /// Runs a command.
    ///
    /// # Errors
    /// When it cannot be run.
    pub fn output(&self, arguments: &[&str]) -> Outcome<Output> {
        Ok(self.command(arguments).output()?)
    }

    /// Runs a command that must end well. Gives what it printed.
    ///
    /// # Errors
    /// When it does not.
    pub fn run(&self, arguments: &[&str]) -> Outcome<Value> {
        let output = self.output(arguments)?;
        if !output.status.success() {
            let error = String::from_utf8_lossy(&output.stderr);
            return Err(format!("{} ended with {}: {error}", arguments.join(" "), output.status).into());
        }
        Ok(serde_json::from_slice(&output.stdout)?)
    }

    /// Runs a command until its answer is as it should be.
    ///
    /// # Errors
    /// When that does not come in time.
    pub fn until(&self, arguments: &[&str], is_so: impl Fn(&Value) -> bool) -> Outcome<Value> {
        let since = Instant::now();
        let mut last = Value::Null;
        while since.elapsed() < PATIENCE {
            if let Ok(value) = self.run(arguments) {
                if is_so(&value) {
                    return Ok(value);
                }
                last = value;
            }
            std::thread::yield_now();
        }
        Err(format!("waited {} s in vain for {}: {last}", PATIENCE.as_secs(), arguments.join(" ")).into())
    }

    /// Its data directory.
    pub fn data(&self) -> &Path {
        &self.data
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.lock().unwrap_or_else(PoisonError::into_inner).take() {
            // It may have ended already.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}
