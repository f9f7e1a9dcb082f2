//! Log records and alerts about wrong settings.

use crate::{
    config::Config,
    model::{
        alert::{Alert, AlertKind},
        log::{Level, Record},
        outcome::{Event, Outcome, Reason},
        problem::Problem,
    },
    ports::Ports,
};

/// Logs that the settings cannot be used, and names all wrong ones. Returns the alert.
pub fn report_misconfigured(
    ports: &impl Ports,
    event: Event,
    settings: &[Problem],
) -> Option<Alert> {
    let record = Record {
        level: Level::Error,
        alert: Some(AlertKind::Misconfigured),
        settings: settings.to_vec(),
        ..Record::new(event, Outcome::Misconfigured, Reason::Settings)
    };
    ports.log(&record);
    record.to_alert()
}

/// Logs which optional settings are wrong, once an instance. Returns the alert.
pub fn report_degraded(ports: &impl Ports, config: &Config) -> Option<Alert> {
    if config.degraded.is_empty() || !ports.first_seen("degraded") {
        return None;
    }
    let record = Record {
        level: Level::Warning,
        alert: Some(AlertKind::Degraded),
        settings: config.degraded.clone(),
        ..Record::new(Event::Check, Outcome::Degraded, Reason::Settings)
    };
    ports.log(&record);
    record.to_alert()
}
