//! User names and passwords: from a file, a variable, a systemd credential, the URL or, last, in clear.

use std::{
    fs,
    io::Read as _,
    path::{Path, PathBuf},
};

use super::Surroundings;
use crate::config::{Secret, address::Address, ledger::Ledger};

/// Longest password file that is read, in bytes.
const LONGEST: u64 = 4_096;

/// What was typed about a login, all of it in one table.
pub(super) struct Login<'a> {
    /// Key path of the table.
    pub(super) table: &'a str,
    /// Key of the URL that may hold credentials too.
    pub(super) url_key: &'static str,
    pub(super) username: Option<String>,
    pub(super) password: Option<Secret>,
    pub(super) password_file: Option<PathBuf>,
    pub(super) password_env: Option<String>,
    pub(super) password_credential: Option<String>,
}

impl Login<'_> {
    /// User name and password. What a later layer says wins; one layer must not say both.
    pub(super) fn resolve(
        self,
        address: &Address,
        ledger: &mut Ledger,
        around: &Surroundings<'_>,
    ) -> (Option<String>, Option<Secret>) {
        let url_path = self.path(self.url_key);
        let url_layer = ledger.layer(&url_path);
        if address.password.is_some() {
            let remedy = format!(
                "write the URL without user and password; write username = \"…\" and password_file = \"…\" in {}",
                self.table
            );
            ledger.advise(&url_path, "a password in a URL is easily seen by others", remedy);
        }
        let username = match (&address.username, &self.username) {
            (Some(_), Some(_)) if ledger.layer(&self.path("username")) == url_layer => {
                ledger.problem(&self.path("username"), "the URL holds a user name too", "take it out of the URL");
                None
            }
            (Some(name), Some(_)) if ledger.layer(&self.path("username")) < url_layer => Some(name.clone()),
            (Some(name), None) => Some(name.clone()),
            (_, key) => key.clone(),
        };
        let password = match (&address.password, self.pick(ledger)) {
            (Some(_), Some(key)) if ledger.layer(&self.path(key)) == url_layer => {
                ledger.problem(&self.path(key), "the URL holds a password too", "take it out of the URL");
                None
            }
            (Some(password), Some(key)) if ledger.layer(&self.path(key)) < url_layer => Some(password.clone()),
            (Some(password), None) => Some(password.clone()),
            (_, Some(key)) => self.read(key, ledger, around),
            (None, None) => None,
        };
        (username, password)
    }

    fn path(&self, key: &str) -> String {
        format!("{}.{key}", self.table)
    }

    /// The key that gives the password: of those that are set, the one of the latest layer.
    fn pick(&self, ledger: &mut Ledger) -> Option<&'static str> {
        let keys = ["password_file", "password_env", "password_credential", "password"];
        let latest = keys.iter().filter_map(|key| ledger.layer(&self.path(key))).max()?;
        let mut latest = keys.into_iter().filter(|key| ledger.layer(&self.path(key)) == Some(latest));
        let first = latest.next()?;
        let second = latest.next();
        if let Some(second) = second {
            ledger.problem(&self.path(second), format!("{first} is given too"), "keep one of them, best the file");
        }
        Some(first)
    }

    fn read(&self, key: &'static str, ledger: &mut Ledger, around: &Surroundings<'_>) -> Option<Secret> {
        let path = self.path(key);
        let outcome = match key {
            "password_file" => self.password_file.as_deref().map(|file| {
                advise_mode(file, &path, ledger);
                read_file(file)
                    .map_err(|reason| (reason, "put the password into this file, mode 0600, owned by egret's user".to_owned()))
            }),
            "password_env" => self.password_env.as_deref().map(|name| match around.variable(name) {
                Some(value) => value
                    .to_str()
                    .map(str::to_owned)
                    .ok_or(("the variable is no UTF-8".to_owned(), "write it in UTF-8".to_owned())),
                None => Err((
                    "there is no such variable".to_owned(),
                    format!("set {name} for egret, e.g. by EnvironmentFile= in the unit"),
                )),
            }),
            "password_credential" => match (self.password_credential.as_deref(), around.variable("CREDENTIALS_DIRECTORY")) {
                (Some(name), None) if around.checking && is_file_name(name) => {
                    ledger.withhold(&path);
                    None
                }
                (name, directory) => name.map(|name| read_credential(name, directory.map(PathBuf::from))),
            },
            _ => {
                ledger.advise(&path, "a password in the configuration is seen by all who may read that", "use password_file");
                self.password.as_ref().map(|password| Ok(password.expose().to_owned()))
            }
        };
        match outcome? {
            Ok(text) if text.is_empty() => ledger.problem(&path, "the password is empty", "remove the key if there is none"),
            Ok(text) if text.chars().any(char::is_control) => {
                ledger.problem(&path, "the password holds line breaks or control characters", "write it on one line");
            }
            Ok(text) => return Some(Secret::new(text)),
            Err((reason, remedy)) => ledger.problem(&path, reason, remedy),
        }
        None
    }
}

/// The file of a systemd credential.
pub(super) fn credential(path: &str, name: &str, ledger: &mut Ledger, around: &Surroundings<'_>) -> Option<PathBuf> {
    let remedy = format!("write LoadCredential={name}:/path/of/the/file in the unit");
    match around.variable("CREDENTIALS_DIRECTORY") {
        _ if !is_file_name(name) => ledger.problem(path, "a credential's name holds no slash", remedy),
        Some(directory) => return Some(Path::new(directory).join(name)),
        None if around.checking => ledger.withhold(path),
        None => ledger.problem(path, "systemd passed no credentials", remedy),
    }
    None
}

fn is_file_name(name: &str) -> bool {
    !name.contains('/') && name != "." && name != ".."
}

fn read_credential(name: &str, directory: Option<PathBuf>) -> Result<String, (String, String)> {
    let remedy = format!("write LoadCredential={name}:/path/of/the/file in the unit");
    match directory {
        _ if !is_file_name(name) => Err(("a credential's name holds no slash".to_owned(), remedy)),
        None => Err(("systemd passed no credentials".to_owned(), remedy)),
        Some(directory) => read_file(&directory.join(name)).map_err(|reason| (reason, remedy)),
    }
}

/// The file's text without its last line end.
fn read_file(path: &Path) -> Result<String, String> {
    let metadata = fs::metadata(path).map_err(|error| error.to_string())?;
    if !metadata.is_file() {
        return Err("it is no regular file".to_owned());
    }
    let mut bytes = Vec::new();
    let file = fs::File::open(path).map_err(|error| error.to_string())?;
    file.take(LONGEST + 1).read_to_end(&mut bytes).map_err(|error| error.to_string())?;
    if bytes.len() as u64 > LONGEST {
        return Err(format!("it is longer than {LONGEST} bytes"));
    }
    let text = String::from_utf8(bytes).map_err(|_| "it is no UTF-8".to_owned())?;
    let text = text.strip_suffix('\n').unwrap_or(&text);
    Ok(text.strip_suffix('\r').unwrap_or(text).to_owned())
}

/// Others may not read it, and only the owner may write it.
pub(super) fn advise_mode(file: &Path, path: &str, ledger: &mut Ledger) {
    use std::os::unix::fs::PermissionsExt as _;
    // What is no file is refused elsewhere, and a device's mode is not to be changed.
    let Some(metadata) = fs::metadata(file).ok().filter(fs::Metadata::is_file) else { return };
    let mode = metadata.permissions().mode() & 0o777;
    if mode & 0o037 != 0 {
        ledger.advise(
            path,
            format!("its mode is {mode:04o}: others can read or change it"),
            format!("chmod 600 {}", file.display()),
        );
    }
}

/// Whether the file of authorities is there and begins as PEM does.
pub(super) fn check_ca(path: &str, file: Option<&Path>, ledger: &mut Ledger) {
    let Some(file) = file else { return };
    let mut start = Vec::new();
    let read = fs::metadata(file).and_then(|metadata| {
        if metadata.is_file() {
            fs::File::open(file)?.take(1 << 20).read_to_end(&mut start)
        } else {
            Err(std::io::ErrorKind::InvalidInput.into())
        }
    });
    match read {
        Err(error) => ledger.problem(path, error.to_string(), "name a PEM file with the certificate of the authority"),
        Ok(_) if !String::from_utf8_lossy(&start).contains("-----BEGIN CERTIFICATE-----") => {
            ledger.problem(path, "it holds no PEM certificate", "convert it: openssl x509 -inform der -in ca.der -out ca.pem");
        }
        Ok(_) => {}
    }
}
