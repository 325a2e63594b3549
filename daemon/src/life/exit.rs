//! What the process's exit code says.

use std::process::ExitCode;

/// How a run of egret ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// 0: asked to stop, and everything stopped; or the work is done.
    Clean,
    /// 1: a device failed, an address is taken, or egret has a bug. systemd starts it again, with a limit.
    Failure,
    /// 78 (`EX_CONFIG` of sysexits.h): the configuration is wrong; starting again does not help, and the unit does not.
    Configuration,
    /// 130: a second signal cut the ordered shutdown short.
    Interrupted,
}

impl Exit {
    /// The number that the shell and systemd see.
    pub fn number(self) -> u8 {
        match self {
            Self::Clean => 0,
            Self::Failure => 1,
            Self::Configuration => 78,
            Self::Interrupted => 130,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.number())
    }
}
