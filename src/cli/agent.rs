//! `hopwatch agent`: the sidecar, from its start to its end.

use super::config::{ConfigOptions, settings, told};
use super::signals::Inbox;
use super::{Failure, descriptors, pages, status, tell};
use crate::agent::config::{Flag, Settings, Sources};
use crate::agent::sidecar::{Environment, Given, Sidecar, SidecarError, SidecarOptions};
use crate::agent::systemd::{Handover, Notifier};
use crate::export::otlp::{Exporter, OtlpConfig};
use crate::gateway::connect::trust;
use crate::model::clock::{Anchor, monotonic};
use clap::Args;
use std::error::Error;
use std::time::{Duration, Instant};

/// How often it looks at what goes on.
const LOOK: Duration = Duration::from_millis(100);
/// How long the collector may take at the end, beside the drain.
const EXPORT: Duration = Duration::from_secs(5);
/// What its telemetry is called where the environment does not say.
const SERVICE: &str = "hopwatch-agent";

/// Run as a sidecar: a gateway that times every call through it, with metrics, report and exports
///
/// Point programs at it by their base URLs and proxy variables, or hand runs to it (`hopwatch run --agent auto`). It needs no
/// configuration: known providers have routes (/openai, /anthropic, /ollama, ...), and it is a forward proxy for this machine.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  hopwatch agent                                        gateway at 127.0.0.1:9471, admin at 127.0.0.1:9470
  OPENAI_BASE_URL=http://127.0.0.1:9471/openai/v1 python agent.py
  HTTP_PROXY=http://127.0.0.1:9471 python agent.py      any plain HTTP; HTTPS_PROXY for tunnels
  hopwatch run --agent auto -- python job.py            seen from inside, reported there
  curl http://127.0.0.1:9470/api/report                 verdicts; also /metrics /api/open /healthz /readyz
  hopwatch agent -c hopwatch.toml                       `hopwatch config check` explains mistakes in it

Signals: SIGHUP reads the configuration again without losing a connection. SIGTERM and SIGINT stop
accepting, finish what is in flight (`agent.drain`), send what is left to the collector and end with
0; a second one ends at once.

Environment: every setting of `hopwatch config reference` that names a variable. Where
OTEL_EXPORTER_OTLP_ENDPOINT or a sibling is set, spans and metrics go there by the OTEL_* variables.
Under systemd: Type=notify-reload, WatchdogSec=, and sockets named `gateway` and `admin`.

Exit code: 0 ended as asked, 2 wrong usage or configuration, 3 it could not serve")]
pub(super) struct AgentArgs {
    #[command(flatten)]
    config: ConfigOptions,

    /// Address of the gateway, instead of `gateway.listen`
    #[arg(long, value_name = "[ADDRESS:]PORT")]
    listen: Option<String>,

    /// Address of metrics, report and health, instead of `agent.admin`
    #[arg(long, value_name = "[ADDRESS:]PORT")]
    admin: Option<String>,

    /// Say nothing but errors
    #[arg(long, short)]
    quiet: bool,
}

impl AgentArgs {
    fn sources(&self) -> Sources {
        let mut sources = self.config.sources();
        for (option, key, value) in [("--listen", "gateway.listen", &self.listen), ("--admin", "agent.admin", &self.admin)] {
            sources.flags.extend(value.clone().map(|value| Flag { option, key: key.to_owned(), value }));
        }
        sources
    }
}

/// Serves until it is asked to end; the exit code.
pub(super) fn agent(args: AgentArgs) -> Result<u8, Failure> {
    pages::stay_small();
    // SAFETY: nothing has started a thread yet, nor opened a file that stays.
    let handover = unsafe { Handover::take() };
    let handover = handover.map_err(|error| Failure::of(status::USAGE, &error).hint(error.hint()))?;
    // With fewer it serves fewer.
    let _as_it_was = descriptors::raise();
    let inbox = Inbox::of_service()?;
    let talk = Talk { quiet: args.quiet, manager: handover.notifier };
    let sources = args.sources();
    let settings = read(&sources, &talk)?;
    let sidecar = Sidecar::start(SidecarOptions {
        anchor: Anchor::new(0),
        settings,
        environment: Environment {
            variables: std::env::vars_os().collect(),
            authorities: trust::named_by(|name| std::env::var_os(name)),
        },
        given: Given { gateway: handover.gateway, admin: handover.admin.into_iter().next() },
        exporter: exporter()?,
    });
    let mut service = Service { sources, talk, sidecar: sidecar.map_err(|error| refused(&error))? };
    service.serve(&inbox);
    service.end(&inbox);
    Ok(0)
}

/// Whom it tells what.
struct Talk {
    quiet: bool,
    manager: Notifier,
}

impl Talk {
    /// Tells people.
    fn say(&self, text: &str) {
        if !self.quiet {
            tell(&format!("hopwatch: {text}\n"));
        }
    }

    /// Tells the service manager; one that does not listen is no reason to stop.
    fn manager(&self, told: impl FnOnce(&Notifier) -> std::io::Result<()>) {
        let _unheard = told(&self.manager);
    }
}

/// An agent that serves.
struct Service {
    sources: Sources,
    talk: Talk,
    sidecar: Sidecar,
}

impl Service {
    /// Serves until a signal asks it to end.
    fn serve(&mut self, inbox: &Inbox) {
        self.ready();
        let mut alive = Due::every(self.talk.manager.watchdog_period());
        loop {
            match inbox.next(LOOK).map(|signal| signal.number) {
                Some(libc::SIGHUP) => self.reload(),
                Some(_) => return,
                None => {}
            }
            self.sidecar.look();
            if alive.is_due() {
                self.talk.manager(Notifier::alive);
            }
        }
    }

    /// Where it serves, said to everybody.
    fn ready(&self) {
        let entrances: Vec<String> = self.sidecar.addresses().map(|address| address.to_string()).collect();
        let line = format!("gateway at {}, admin at http://{}", entrances.join(" and "), self.sidecar.admin());
        self.talk.say(&line);
        self.talk.manager(|manager| manager.ready(&line));
    }

    /// Reads the settings again. With a mistake in them, all stays as it was.
    fn reload(&mut self) {
        self.talk.manager(Notifier::reloading);
        let read = read(&self.sources, &self.talk);
        match read.and_then(|settings| self.sidecar.reload(settings).map_err(|error| refused(&error))) {
            Ok(restart) => {
                for key in restart {
                    self.talk.say(&format!("`{key}` takes a restart"));
                }
                self.talk.say("reloaded");
            }
            Err(failure) => {
                failure.print();
                tell("hopwatch: not reloaded: it serves as before\n");
            }
        }
        self.ready();
    }

    /// Finishes what is in flight, at most for as long as the settings say, or until another signal comes.
    fn end(self, inbox: &Inbox) {
        let Self { talk, sidecar, .. } = self;
        let limit = sidecar.drain_limit();
        let line = format!("ends: {} in flight, for at most {limit:?}", sidecar.open());
        talk.say(&line);
        talk.manager(|manager| manager.stopping(&line));
        sidecar.drain();
        let started = monotonic();
        let mut export = EXPORT;
        while !sidecar.is_drained() && started.elapsed() < limit {
            match inbox.next(Duration::from_millis(20)).map(|signal| signal.number) {
                Some(libc::SIGHUP) | None => sidecar.look(),
                Some(_) => {
                    export = Duration::ZERO;
                    break;
                }
            }
        }
        if !sidecar.is_drained() {
            talk.say(&format!("{} in flight were cut off", sidecar.open()));
        }
        sidecar.finish(export);
    }
}

/// Something that is due every so often.
struct Due {
    period: Option<Duration>,
    last: Instant,
}

impl Due {
    fn every(period: Option<Duration>) -> Self {
        Self { period, last: monotonic() }
    }

    fn is_due(&mut self) -> bool {
        let due = self.period.is_some_and(|period| self.last.elapsed() >= period);
        if due {
            self.last = monotonic();
        }
        due
    }
}

/// Reads the settings, the files that they name too. What is hardly meant is said.
fn read(sources: &Sources, talk: &Talk) -> Result<Settings, Failure> {
    let settings = settings(sources)?;
    let wrong = settings.check_files();
    if !wrong.is_empty() {
        return Err(told(&wrong));
    }
    for warning in &settings.warnings {
        let hint = warning.hint.as_ref().map_or_else(String::new, |hint| format!("; {hint}"));
        talk.say(&format!("{warning}{hint}"));
    }
    Ok(settings)
}

/// Where spans and metrics go, where the environment says so.
fn exporter() -> Result<Option<Exporter>, Failure> {
    let hint = "the standard OTEL_EXPORTER_OTLP_* variables say where spans and metrics go";
    let failed = |error: &dyn Error| Failure::of(status::USAGE, error).hint(hint);
    let config = OtlpConfig::from_env_with_endpoint().map_err(|error| failed(&error))?;
    config.map(|config| Exporter::start(&config.or_service_name(SERVICE)).map_err(|error| failed(&error))).transpose()
}

fn refused(error: &SidecarError) -> Failure {
    let code = if matches!(error, SidecarError::Tls(_)) { status::USAGE } else { status::FAILED };
    let failure = Failure::of(code, error);
    match error.hint() {
        Some(hint) => failure.hint(hint),
        None => failure,
    }
}
