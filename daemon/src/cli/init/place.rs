//! Where a first configuration is put: whole or not at all, passwords first, readable by egret's user alone.

use std::{
    ffi::OsString,
    fs::{self, Permissions},
    io::{self, Write as _},
    os::unix::fs::{MetadataExt as _, PermissionsExt as _, fchown},
    path::{Path, PathBuf},
};

use anyhow::Context as _;

use crate::{
    config::{First, Password},
    file::{Fresh, regular},
};

/// The daemon's user, as the packages make it.
const USER: &str = "egret";

/// Whether a configuration can be put at `file`.
///
/// # Errors
/// One is there and `force` is not given, or it is no file.
pub(super) fn free(file: &Path, force: bool) -> anyhow::Result<()> {
    match regular(file) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error).with_context(|| format!("{} cannot be replaced", file.display())),
        Ok(_) if force => Ok(()),
        Ok(_) => {
            anyhow::bail!("{} is there already: --force replaces it, and keeps it as {}", file.display(), old(file).display())
        }
    }
}

/// Writes the passwords, then the configuration that names them. Returns what was written.
///
/// # Errors
/// Whatever the disk says, with the file's name.
pub(super) fn put(file: &Path, first: &First) -> anyhow::Result<Vec<PathBuf>> {
    let folder = match file.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    fs::create_dir_all(folder).with_context(|| folder.display().to_string())?;
    let mut written = Vec::new();
    if let Some(before) = kept(file)? {
        let path = old(file);
        secretly(&path, &before).with_context(|| path.display().to_string())?;
        written.push(path);
    }
    for Password { file: name, secret } in &first.passwords {
        let path = folder.join(name);
        secretly(&path, format!("{}\n", secret.expose()).as_bytes()).with_context(|| path.display().to_string())?;
        written.push(path);
    }
    // Some cameras want a password within the path of their URL, so the configuration is nobody else's to read either.
    secretly(file, first.text.as_bytes()).with_context(|| file.display().to_string())?;
    written.push(file.to_owned());
    fs::File::open(folder).and_then(|folder| folder.sync_all()).with_context(|| folder.display().to_string())?;
    Ok(written)
}

fn kept(file: &Path) -> anyhow::Result<Option<Vec<u8>>> {
    match fs::read(file) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).with_context(|| file.display().to_string()),
    }
}

fn old(file: &Path) -> PathBuf {
    let mut name = OsString::from(file);
    name.push(".old");
    name.into()
}

/// Writes a file that its owner alone may read: egret's user, where there is one and the writer is root.
fn secretly(path: &Path, content: &[u8]) -> io::Result<()> {
    let mut fresh = Fresh::begin(path)?;
    let mut file = fresh.file()?;
    file.set_permissions(Permissions::from_mode(0o600))?;
    if file.metadata()?.uid() == 0
        && let Some((user, group)) = account(&fs::read_to_string("/etc/passwd").unwrap_or_default())
    {
        fchown(&file, Some(user), Some(group))?;
    }
    file.write_all(content)?;
    fresh.finish()
}

/// Number of the daemon's user and group, in lines of passwd(5).
fn account(passwd: &str) -> Option<(u32, u32)> {
    let mut fields = passwd.lines().map(|line| line.split(':')).find(|fields| fields.clone().next() == Some(USER))?.skip(2);
    Some((fields.next()?.parse().ok()?, fields.next()?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Secret;

    #[test]
    fn its_owner_alone_reads_what_is_written() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("egret.toml");
        let password = Password { file: "mqtt.password".into(), secret: Secret::new("x") };
        let first = First { text: "# text\n".into(), passwords: vec![password] };
        let written = put(&file, &first).unwrap();
        assert_eq!(written, [folder.path().join("mqtt.password"), file]);
        for path in written {
            assert_eq!(fs::metadata(path).unwrap().mode() & 0o777, 0o600);
        }
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2, "nothing else is left");
    }

    #[test]
    fn what_is_no_file_is_not_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let told = format!("{:#}", free(folder.path(), true).unwrap_err());
        assert!(told.contains("a directory"), "{told}");
        assert!(free(&folder.path().join("new"), false).is_ok());
    }

    #[test]
    fn accounts_are_found_in_passwd() {
        let passwd =
            "root:x:0:0:root:/root:/bin/sh\negret2:x:5:6::/:/bin/false\negret:x:991:990:egret:/var/lib/egret:/usr/sbin/nologin\n";
        assert_eq!(account(passwd), Some((991, 990)));
        assert_eq!(account("egret:x:no"), None);
        assert_eq!(account(""), None);
    }
}
