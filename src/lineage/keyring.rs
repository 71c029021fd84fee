//! The private keys of a user: files outside of any project, readable by nobody else.
//!
//! ```text
//! <keys>/<key id>.key       PKCS#8 PEM or OpenSSH, possibly locked by a passphrase
//! <keys>/<key id>.command   a command that signs, for keys in hardware or a cloud
//! ```

use std::{
    fs,
    io::Write,
    os::unix::fs::{OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use super::{KeyId, LineageError, PrivateKey, PublicKey};

/// The folder of a user's private keys.
#[derive(Debug, Clone)]
pub struct Keyring {
    folder: PathBuf,
}

/// A key of the folder, not yet unlocked.
#[derive(Debug, Clone)]
pub enum StoredKey {
    /// A file that holds the key.
    File {
        /// The file.
        path: PathBuf,
        /// Its text.
        text: Secret,
    },
    /// A command that has it.
    Command(SigningCommand),
}

/// A text that is not for showing.
#[derive(Clone)]
pub struct Secret(String);

impl Secret {
    /// The text.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Secret")
    }
}

/// A command that signs: it reads the bytes on stdin and writes the signature, raw or in base64, on stdout.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct SigningCommand {
    /// Program and arguments; no shell is involved.
    pub command: Vec<String>,
    /// The public key in PEM, with which every answer is checked.
    pub public: String,
}

impl Keyring {
    /// The keys in a folder, which need not exist yet. It may not lie inside the project at `root`, unless the user says so.
    pub fn new(folder: Option<&Path>, root: &Path, inside_is_fine: bool) -> Result<Self, LineageError> {
        let folder = folder.ok_or(LineageError::NoKeysFolder)?;
        let real = |path: &Path| fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
        let (within, project) = (real(folder), real(root));
        if within.starts_with(&project) && !inside_is_fine {
            return Err(LineageError::KeysInProject { folder: folder.to_owned(), root: root.to_owned() });
        }
        Ok(Self { folder: folder.to_owned() })
    }

    /// The folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Keeps a key file's text as it is.
    pub fn add_file(&self, id: &KeyId, text: &str) -> Result<PathBuf, LineageError> {
        self.write(&format!("{id}.key"), text)
    }

    /// Keeps a signing command.
    pub fn add_command(&self, command: &SigningCommand) -> Result<KeyId, LineageError> {
        let id = PublicKey::from_text("the public key of the signing command", &command.public)?.id()?;
        let text = toml::to_string(command)
            .map_err(|error| LineageError::Encode { what: "a signing command", reason: error.to_string() })?;
        self.write(&format!("{id}.command"), &text)?;
        Ok(id)
    }

    fn write(&self, name: &str, text: &str) -> Result<PathBuf, LineageError> {
        let existed = self.folder.is_dir();
        fs::create_dir_all(&self.folder).map_err(LineageError::io("create", &self.folder))?;
        if !existed {
            let private = fs::Permissions::from_mode(0o700);
            fs::set_permissions(&self.folder, private).map_err(LineageError::io("protect", &self.folder))?;
        }
        let path = self.folder.join(name);
        // Never over an existing key: what it signed could not be signed again.
        let mut file = fs::File::options()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&path)
            .map_err(LineageError::io("create", &path))?;
        file.write_all(text.as_bytes())
            .and_then(|()| file.sync_all())
            .map_err(LineageError::io("write", &path))?;
        Ok(path)
    }

    /// The key with this id, if it is here.
    pub fn find(&self, id: &KeyId) -> Result<Option<StoredKey>, LineageError> {
        if let Some((path, text)) = self.read(&format!("{id}.key"))? {
            return Ok(Some(StoredKey::File { path, text: Secret(text) }));
        }
        let Some((path, text)) = self.read(&format!("{id}.command"))? else { return Ok(None) };
        let command = toml::from_str(&text).map_err(|error| LineageError::Key {
            what: path.display().to_string(),
            reason: error.to_string().trim_end().to_owned(),
        })?;
        Ok(Some(StoredKey::Command(command)))
    }

    fn read(&self, name: &str) -> Result<Option<(PathBuf, String)>, LineageError> {
        let path = self.folder.join(name);
        match fs::read_to_string(&path) {
            Ok(text) => Ok(Some((path, text))),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(LineageError::io("read", &path)(error)),
        }
    }
}

impl StoredKey {
    /// True when a passphrase is needed.
    pub fn is_locked(&self) -> bool {
        matches!(self, Self::File { text, .. } if PrivateKey::is_locked(text.expose()))
    }
}
