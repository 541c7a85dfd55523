//! The commands, a file for each.

mod agent;
mod archive;
mod audit;
mod backup;
mod check;
mod crl;
mod demo;
mod doctor;
mod erase;
mod export;
mod freeze;
mod gate;
mod init;
mod inspect;
mod log;
#[cfg(all(feature = "serve", feature = "postgres"))]
mod node;
mod report;
mod restore;
mod resume;
mod revoke;
mod risk;
mod rotate;
mod scope;
#[cfg(feature = "serve")]
mod serve;
mod standing;
mod suspend;
mod tenant;
mod thaw;
mod verify;
mod verify_certificate;
mod why;
mod witness;

use clap::Subcommand;

use crate::answer::{Answer, Failure};
use crate::context::Common;

pub(crate) use verify_certificate::{certificates, lists};

#[derive(Subcommand)]
pub(crate) enum Command {
    Init(init::Init),
    #[cfg(feature = "serve")]
    Serve(serve::Serve),
    #[command(subcommand)]
    Agent(agent::Agent),
    Suspend(suspend::Suspend),
    Resume(resume::Resume),
    Revoke(revoke::Revoke),
    Freeze(freeze::Freeze),
    Thaw(thaw::Thaw),
    Rotate(rotate::Rotate),
    #[command(subcommand)]
    Risk(risk::Risk),
    #[command(subcommand)]
    Tenant(tenant::Tenant),
    Crl(crl::Crl),
    Backup(backup::Backup),
    Restore(restore::Restore),
    #[command(subcommand)]
    Archive(archive::Archive),
    #[command(subcommand)]
    Audit(audit::Audit),
    Inspect(inspect::Inspect),
    Check(check::Check),
    #[command(subcommand)]
    Scope(scope::Scope),
    Why(why::Why),
    Export(export::Export),
    Gate(Box<gate::Gate>),
    Erase(erase::Erase),
    Verify(verify::Verify),
    Report(report::Report),
    Log(log::Log),
    Witness(witness::Witness),
    VerifyCertificate(verify_certificate::VerifyCertificate),
    Doctor(doctor::Doctor),
    Demo(demo::Demo),
}

impl Command {
    pub(crate) fn run(&self, common: &Common) -> Result<Answer, Failure> {
        match self {
            Self::Init(command) => command.run(common),
            #[cfg(feature = "serve")]
            Self::Serve(command) => command.run(common),
            Self::Agent(command) => command.run(common),
            Self::Suspend(command) => command.run(common),
            Self::Resume(command) => command.run(common),
            Self::Revoke(command) => command.run(common),
            Self::Freeze(command) => command.run(common),
            Self::Thaw(command) => command.run(common),
            Self::Rotate(command) => command.run(common),
            Self::Risk(command) => command.run(common),
            Self::Tenant(command) => command.run(common),
            Self::Crl(command) => command.run(common),
            Self::Backup(command) => command.run(common),
            Self::Restore(command) => command.run(common),
            Self::Archive(command) => command.run(common),
            Self::Audit(command) => command.run(common),
            Self::Inspect(command) => command.run(common),
            Self::Check(command) => command.run(common),
            Self::Scope(command) => command.run(common),
            Self::Why(command) => command.run(common),
            Self::Export(command) => command.run(common),
            Self::Gate(command) => command.run(common),
            Self::Erase(command) => command.run(common),
            Self::Verify(command) => command.run(common),
            Self::Report(command) => command.run(common),
            Self::Log(command) => command.run(common),
            Self::Witness(command) => command.run(common),
            Self::VerifyCertificate(command) => command.run(common),
            Self::Doctor(command) => command.run(common),
            Self::Demo(command) => command.run(common),
        }
    }
}
