//! The file of a unix socket: made, taken over from a dead process, and removed.

use super::listen::BACKLOG;
use fleetgate_core::config::UnixListen;
use nix::unistd::{Group, User};
use rustix::io::Errno;
use socket2::{Domain, SockAddr, Socket, Type};
use std::fs;
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt, chown};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

/// A file that a socket of this process, or of one that it replaces, is reached by.
#[derive(Debug, Clone)]
pub(super) struct SocketFile {
    path: PathBuf,
    /// Device and number of the file: what is there later may be somebody else's.
    file: (u64, u64),
}

impl SocketFile {
    /// Binds a socket to a path. What a dead process left there is replaced.
    ///
    /// # Errors
    /// Something else is there, a living process listens there, or this user may not do it.
    pub(super) fn bind(config: &UnixListen) -> io::Result<(UnixListener, Self)> {
        let path = PathBuf::from(&*config.path);
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder)?;
        }
        make_way(&path)?;
        // Nobody can connect before the permissions are right.
        let mut fresh = path.clone().into_os_string();
        fresh.push(format!(".{}.new", std::process::id()));
        let fresh = PathBuf::from(fresh);
        remove_if_there(&fresh)?;
        let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
        socket.bind(&SockAddr::unix(&fresh)?)?;
        let made = permit(&fresh, config)
            .and_then(|()| socket.listen(BACKLOG))
            .and_then(|()| fs::rename(&fresh, &path));
        if let Err(error) = made {
            remove_if_there(&fresh)?;
            return Err(error);
        }
        Ok((socket.into(), Self::at(path)?))
    }

    /// Takes the file over together with its socket, and gives it the permissions of this process's config.
    ///
    /// # Errors
    /// The file is gone, or this user may not change it.
    pub(super) fn take_over(config: &UnixListen) -> io::Result<Self> {
        let path = PathBuf::from(&*config.path);
        permit(&path, config)?;
        Self::at(path)
    }

    fn at(path: PathBuf) -> io::Result<Self> {
        let file = fs::symlink_metadata(&path)?;
        Ok(Self { path, file: (file.dev(), file.ino()) })
    }

    /// Removes the file, if it is still the same.
    pub(super) fn remove(&self) {
        let same = |file: &fs::Metadata| (file.dev(), file.ino()) == self.file;
        if !fs::symlink_metadata(&self.path).is_ok_and(|file| same(&file)) {
            return;
        }
        if let Err(error) = fs::remove_file(&self.path) {
            tracing::warn!(%error, path = %self.path.display(), "cannot remove the file of a listener; the next start replaces it");
        }
    }
}

/// Removes what a dead process left.
fn make_way(path: &Path) -> io::Result<()> {
    let file = match fs::symlink_metadata(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    if !file.file_type().is_socket() {
        return Err(io::Error::new(
            io::ErrorKind::AlreadyExists,
            "there is a file that is no socket; remove it, or choose another path",
        ));
    }
    // Does not wait for a process whose queue is full: it lives.
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.set_nonblocking(true)?;
    match socket.connect(&SockAddr::unix(path)?) {
        Err(error) if error.raw_os_error() == Some(Errno::CONNREFUSED.raw_os_error()) => {
            remove_if_there(path)
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Err(io::Error::new(
            io::ErrorKind::PermissionDenied,
            "there is a socket of another user; stop what listens on it, or remove the file if nothing does",
        )),
        Ok(()) | Err(_) => Err(io::Error::new(
            io::ErrorKind::AddrInUse,
            "another process listens there; stop it, or choose another path",
        )),
    }
}

fn remove_if_there(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Gives a file its permissions, and its owner and group where the config names them.
fn permit(path: &Path, config: &UnixListen) -> io::Result<()> {
    fs::set_permissions(path, fs::Permissions::from_mode(config.mode))?;
    let owner = config
        .owner
        .as_deref()
        .map(|name| id_of(name, "user", |name| Ok(User::from_name(name)?.map(|user| user.uid.as_raw()))));
    let group = config
        .group
        .as_deref()
        .map(|name| id_of(name, "group", |name| Ok(Group::from_name(name)?.map(|group| group.gid.as_raw()))));
    let (owner, group) = (owner.transpose()?, group.transpose()?);
    if owner.is_none() && group.is_none() {
        return Ok(());
    }
    chown(path, owner, group).map_err(|error| {
        let advice =
            "run as root, or leave out `unix.owner` and name a group in `unix.group` that this user is in";
        io::Error::new(
            error.kind(),
            format!("cannot give the socket to its owner and group ({error}): {advice}"),
        )
    })
}

fn id_of(
    name: &str,
    kind: &str,
    find: impl FnOnce(&str) -> Result<Option<u32>, nix::Error>,
) -> io::Result<u32> {
    if let Ok(number) = name.parse() {
        return Ok(number);
    }
    find(name)?.ok_or_else(|| {
        io::Error::new(io::ErrorKind::NotFound, format!("the system knows no {kind} `{name}`"))
    })
}
