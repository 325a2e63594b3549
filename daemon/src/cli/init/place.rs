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
/// Most copies of a file that is replaced again and again.
const MOST_OLD: usize = 999;

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
            anyhow::bail!("{} is there already: --force replaces it, and keeps it as {}", file.display(), old(file)?.display())
        }
    }
}

/// Where a file's relatives are.
fn folder(file: &Path) -> &Path {
    match file.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    }
}

/// The files of the passwords, and what will be in them.
fn passwords<'a>(file: &Path, first: &'a First) -> impl Iterator<Item = (PathBuf, String)> + use<'a> {
    let folder = folder(file).to_owned();
    first.passwords.iter().map(move |Password { file, secret }| (folder.join(file), format!("{}\n", secret.expose())))
}

/// Whether no other password is lost.
///
/// # Errors
/// A file of a password is there and holds another one, and `force` is not given.
pub(super) fn apart(file: &Path, first: &First, force: bool) -> anyhow::Result<()> {
    for (path, content) in passwords(file, first) {
        if let Some(before) = there(&path)?
            && before != content.as_bytes()
            && !force
        {
            anyhow::bail!(
                "{} is there already with another password, maybe that of another configuration: write this one into a folder of its \
                 own, or let --force replace the password, and keep it as {}",
                path.display(),
                old(&path)?.display()
            );
        }
    }
    Ok(())
}

/// Writes the passwords, then the configuration that names them. What is replaced is kept. Returns what was written.
///
/// # Errors
/// Whatever the disk says, with the file's name.
pub(super) fn put(file: &Path, first: &First) -> anyhow::Result<Vec<PathBuf>> {
    let folder = folder(file);
    fs::create_dir_all(folder).with_context(|| folder.display().to_string())?;
    let mut written = Vec::new();
    // Some cameras want a password within the path of their URL, so the configuration is nobody else's to read either.
    for (path, content) in passwords(file, first).chain([(file.to_owned(), first.text.clone())]) {
        if let Some(before) = there(&path)?
            && before != content.as_bytes()
        {
            let old = old(&path)?;
            secretly(&old, &before).with_context(|| old.display().to_string())?;
            written.push(old);
        }
        secretly(&path, content.as_bytes()).with_context(|| path.display().to_string())?;
        written.push(path);
    }
    fs::File::open(folder).and_then(|folder| folder.sync_all()).with_context(|| folder.display().to_string())?;
    Ok(written)
}

/// What is in a file; `None`: it is not there.
fn there(file: &Path) -> anyhow::Result<Option<Vec<u8>>> {
    match fs::read(file) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).with_context(|| file.display().to_string()),
    }
}

/// The name under which a file is kept: the first of FILE.old, FILE.old.2 and so on that is free.
fn old(file: &Path) -> anyhow::Result<PathBuf> {
    for number in 1..=MOST_OLD {
        let mut name = OsString::from(file);
        name.push(".old");
        if number > 1 {
            name.push(format!(".{number}"));
        }
        let path = PathBuf::from(name);
        match fs::symlink_metadata(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(path),
            Err(error) => return Err(error).with_context(|| path.display().to_string()),
            Ok(_) => {}
        }
    }
    anyhow::bail!("{} has been kept {MOST_OLD} times: remove old ones", file.display())
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
        let first = First { text: "# text\n".into(), passwords: vec![password], kept: Vec::new() };
        let written = put(&file, &first).unwrap();
        assert_eq!(written, [folder.path().join("mqtt.password"), file]);
        for path in written {
            assert_eq!(fs::metadata(path).unwrap().mode() & 0o777, 0o600);
        }
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2, "nothing else is left");
    }

    #[test]
    fn nothing_that_is_replaced_is_lost() {
        let folder = tempfile::tempdir().unwrap();
        let (a, b) = (folder.path().join("a.toml"), folder.path().join("b.toml"));
        let first = |text: &str, secret: &str| First {
            text: text.into(),
            passwords: vec![Password { file: "mqtt.password".into(), secret: Secret::new(secret) }],
            kept: Vec::new(),
        };
        put(&a, &first("# a\n", "one")).unwrap();
        apart(&b, &first("# b\n", "one"), false).unwrap();
        let told = apart(&b, &first("# b\n", "two"), false).unwrap_err().to_string();
        assert!(told.contains("mqtt.password is there already") && told.contains("--force"), "{told}");
        assert!(told.contains("mqtt.password.old") && !told.contains("one\n"), "{told}");
        for secret in ["two", "three"] {
            apart(&b, &first("# b\n", secret), true).unwrap();
            put(&b, &first(&format!("# {secret}\n"), secret)).unwrap();
        }
        put(&b, &first("# three\n", "three")).unwrap();
        let read = |name: &str| fs::read_to_string(folder.path().join(name)).unwrap();
        let now: Vec<_> =
            ["mqtt.password", "mqtt.password.old", "mqtt.password.old.2", "b.toml", "b.toml.old", "a.toml"].map(read).into();
        assert_eq!(now, ["three\n", "one\n", "two\n", "# three\n", "# two\n", "# a\n"]);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 6, "what is the same is no copy");
        assert_eq!(fs::metadata(folder.path().join("mqtt.password.old.2")).unwrap().mode() & 0o777, 0o600);
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
