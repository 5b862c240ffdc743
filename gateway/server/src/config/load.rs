//! From files to a config that can be served, keeping the last good revision of each file.

use super::files::{self, Content, FILE_BYTES_MAX, Stamp};
use super::secrets::{Outside, Referred, beside};
use super::watch::{Clocks, Targets, Watch};
use blake3::Hash;
use fleetgate_core::config::{
    GatewayConfig, MainFile, Place, Problem, Revisions, Running, TenantFile, compile, settle,
};
use jiff::Timestamp;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

/// Reads the main file and the files of tenants, again and again.
///
/// It keeps what it parsed: a file is read again only when its stamp changed, parsed again only when its content
/// did. Reading blocks, so call it off the threads that move bytes.
#[derive(Debug)]
pub struct Loader {
    main_path: PathBuf,
    cores: u16,
    main: Known<MainFile>,
    files: BTreeMap<PathBuf, Known<TenantFile>>,
    targets: Arc<Mutex<Targets>>,
}

/// A config that can be served.
#[derive(Debug)]
pub struct Loaded {
    /// The config.
    pub config: GatewayConfig,
    /// Short hash of all that is served: the same content has the same revision.
    pub revision: String,
    /// The main file, then the files of tenants by name.
    pub files: Vec<FileStatus>,
    /// All that is wrong with the files as they are now.
    pub problems: Vec<Problem>,
}

/// What the files say as they are.
#[derive(Debug)]
pub struct Examined {
    /// All that is wrong, by file and line.
    pub problems: Vec<Problem>,
    /// Entries without a problem.
    pub tenants: usize,
    /// Their hosts.
    pub hosts: usize,
    /// Files that were looked at.
    pub files: usize,
}

/// What is served of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileStatus {
    /// The file.
    pub path: PathBuf,
    /// How much of it, and which revision.
    pub running: Running,
    /// Short hash of the content that is served; `None` when nothing is.
    pub revision: Option<String>,
    /// Since when the file as it is now is not served whole.
    pub broken_since: Option<Timestamp>,
}

/// What is known about one file.
#[derive(Debug)]
struct Known<T> {
    stamp: Option<Stamp>,
    /// Files that it refers to.
    referred: Vec<Referred>,
    new: Option<Revision<T>>,
    last_good: Option<Revision<T>>,
    /// What is wrong with the file by itself.
    problems: Vec<Problem>,
    broken_since: Option<Timestamp>,
    from_start: bool,
}

#[derive(Debug)]
struct Revision<T> {
    hash: Hash,
    parsed: Arc<T>,
}

impl<T> Clone for Revision<T> {
    fn clone(&self) -> Self {
        Self { hash: self.hash, parsed: Arc::clone(&self.parsed) }
    }
}

impl<T> Default for Known<T> {
    fn default() -> Self {
        Self {
            stamp: None,
            referred: Vec::new(),
            new: None,
            last_good: None,
            problems: Vec::new(),
            broken_since: None,
            from_start: false,
        }
    }
}

impl Loader {
    /// A loader that has read nothing yet. `cores` is the default of `threads`.
    #[must_use]
    pub fn new(main_path: &Path, cores: u16) -> Self {
        Self {
            main_path: main_path.to_owned(),
            cores,
            targets: Arc::new(Mutex::new(Targets::new(main_path))),
            main: Known::default(),
            files: BTreeMap::new(),
        }
    }

    /// Looks at the files as they are now, whatever was good before.
    #[must_use]
    pub fn examine(&mut self) -> Examined {
        let directory_problem = self.read();
        let mut problems = self.main.problems.clone();
        problems.extend(directory_problem);
        problems.extend(self.files.values().flat_map(|file| file.problems.iter().cloned()));
        let files: Vec<Arc<TenantFile>> =
            self.files.values().filter_map(|file| Some(Arc::clone(&file.new.as_ref()?.parsed))).collect();
        let mut examined =
            Examined { problems, tenants: 0, hosts: 0, files: self.files.len().saturating_add(1) };
        if let Some(main) = &self.main.new {
            let compiled = compile(&main.parsed, &files);
            examined.problems.extend(compiled.problems);
            (examined.tenants, examined.hosts) = (compiled.tenants, compiled.hosts);
        }
        examined.problems.sort_by(|left, right| left.place.cmp(&right.place));
        examined
    }

    /// Watches the files from now on.
    #[must_use]
    pub fn watch(&self) -> Watch {
        Watch::start(Arc::clone(&self.targets), Clocks::default())
    }

    #[cfg(test)]
    pub(super) fn watch_with(&self, clocks: Clocks) -> Watch {
        Watch::start(Arc::clone(&self.targets), clocks)
    }

    /// Reads what changed and puts it together.
    ///
    /// # Errors
    /// All problems, when no revision of the main file can be served: only before the first success.
    pub fn load(&mut self) -> Result<Loaded, Vec<Problem>> {
        let directory_problem = self.read();
        let mut problems = self.main.problems.clone();
        problems.extend(directory_problem);
        problems.extend(self.files.values().flat_map(|file| file.problems.iter().cloned()));
        let main = self.main.revisions();
        let files: Vec<Revisions<TenantFile>> = self.files.values().map(Known::revisions).collect();
        match settle(&main, &files) {
            Ok(settled) => {
                problems.extend(settled.problems);
                let now = Timestamp::now();
                self.main.note(settled.main, now);
                for (file, running) in self.files.values_mut().zip(&settled.files) {
                    file.note(*running, now);
                }
                let files = self.statuses(settled.main, &settled.files);
                Ok(Loaded { config: settled.config, revision: revision_of(&files), files, problems })
            }
            Err(between) => {
                problems.extend(between);
                Err(problems)
            }
        }
    }

    /// Reads all files as they are now. Returns what is wrong with the folder of tenants.
    fn read(&mut self) -> Option<Problem> {
        self.read_main();
        let tenants = self.effective_main().and_then(MainFile::tenants_directory);
        let tenants = tenants.map(|(_, path)| beside(&self.main_path, path));
        self.targets.lock().unwrap_or_else(PoisonError::into_inner).follow(tenants);
        let problem = self.read_directory();
        let files = self.files.values().flat_map(|file| &file.referred);
        let referred = self.main.referred.iter().chain(files).map(|referred| referred.path().to_owned());
        self.targets.lock().unwrap_or_else(PoisonError::into_inner).refer(referred.collect());
        problem
    }

    /// The main file that names the folder of tenants.
    fn effective_main(&self) -> Option<&MainFile> {
        let new = self.main.new.as_ref().map(|revision| &*revision.parsed);
        let last_good = self.main.last_good.as_ref().map(|revision| &*revision.parsed);
        new.filter(|main| main.is_sound()).or(last_good).or(new)
    }

    fn read_main(&mut self) {
        let (path, cores) = (&self.main_path, self.cores);
        let outside = Outside::new(path);
        self.main.read(path, &outside, |name, text| MainFile::parse(name, text, &outside, cores));
    }

    /// Reads the files of tenants. A folder that cannot be listed leaves every known file at its last good revision.
    fn read_directory(&mut self) -> Option<Problem> {
        let Some((spot, written)) = self.effective_main().and_then(MainFile::tenants_directory) else {
            self.files.clear();
            return None;
        };
        let written = written.to_owned();
        let folder = beside(&self.main_path, &written);
        match files::tenant_files(&folder) {
            Ok(paths) => {
                let outside = Outside::new(&self.main_path);
                // No main file was ever served: this is the start.
                let from_start = self.main.last_good.is_none();
                let mut before = core::mem::take(&mut self.files);
                for path in paths {
                    let fresh = Known { from_start, ..Known::default() };
                    let mut file = before.remove(&path).unwrap_or(fresh);
                    file.read(&path, &outside, |name, text| TenantFile::parse(name, text, &outside));
                    self.files.insert(path, file);
                }
                None
            }
            Err(reason) => {
                for file in self.files.values_mut() {
                    (file.stamp, file.new) = (None, None);
                    file.problems.clear();
                }
                let hint = "the tenants that were known before are still served; a path starts at the main file's folder";
                let mut problem = Problem::about_file(
                    &self.main_path.display().to_string(),
                    format!("the folder `{written}` {reason}"),
                    Some(hint),
                );
                problem.place = Place { spot, ..problem.place };
                problem.key_path = "tenants_directory".into();
                Some(problem)
            }
        }
    }

    fn statuses(&self, main: Running, files: &[Running]) -> Vec<FileStatus> {
        let mut statuses = vec![self.main.status(&self.main_path, main)];
        statuses
            .extend(self.files.iter().zip(files).map(|((path, file), running)| file.status(path, *running)));
        statuses
    }
}

impl<T> Known<T> {
    /// Looks at the file; parses it when its content is another than before.
    fn read(&mut self, path: &Path, outside: &Outside, parse: impl FnOnce(&str, &str) -> (T, Vec<Problem>)) {
        let referred_unchanged = self.referred.iter().all(Referred::is_unchanged);
        if self.stamp.is_some() && self.stamp == Stamp::of(path) && referred_unchanged {
            return;
        }
        let name = path.display().to_string();
        let Content { bytes, stamp } = match files::read(path, FILE_BYTES_MAX) {
            Ok(content) => content,
            Err(reason) => {
                return self.unreadable(Problem::about_file(&name, format!("the file {reason}"), None));
            }
        };
        self.stamp = stamp;
        let same = |hash| self.new.as_ref().is_some_and(|new| new.hash == hash);
        if self.referred.is_empty() && same(blake3::hash(&bytes)) {
            return;
        }
        let text = match files::text(&bytes) {
            Ok(text) => text,
            Err(spot) => {
                let problem =
                    Problem::about_file(&name, "this is not UTF-8 text", Some("save the file as UTF-8"));
                return self.unreadable(Problem { place: Place { spot, ..problem.place }, ..problem });
            }
        };
        let (parsed, problems) = parse(&name, text);
        let referred = outside.take_referred();
        let hash = hash_of(&bytes, &referred);
        let unchanged = same(hash);
        self.problems = problems;
        self.referred = referred;
        if unchanged {
            return;
        }
        self.new = Some(Revision { hash, parsed: Arc::new(parsed) });
    }

    fn unreadable(&mut self, problem: Problem) {
        (self.stamp, self.new) = (None, None);
        self.referred.clear();
        self.problems = vec![problem];
    }

    fn revisions(&self) -> Revisions<T> {
        let parsed =
            |revision: &Option<Revision<T>>| revision.as_ref().map(|revision| Arc::clone(&revision.parsed));
        Revisions { new: parsed(&self.new), last_good: parsed(&self.last_good), from_start: self.from_start }
    }

    /// Takes note of what is served from now on.
    fn note(&mut self, running: Running, now: Timestamp) {
        if running == Running::New {
            self.last_good = self.new.clone();
            self.broken_since = None;
        } else if self.broken_since.is_none() {
            self.broken_since = Some(now);
        }
    }

    fn status(&self, path: &Path, running: Running) -> FileStatus {
        let served = match running {
            Running::New | Running::Partly => self.new.as_ref(),
            Running::LastGood => self.last_good.as_ref(),
            Running::Nothing => None,
        };
        FileStatus {
            path: path.to_owned(),
            running,
            revision: served.map(|revision| short(&revision.hash)),
            broken_since: self.broken_since,
        }
    }
}

/// Hash of a file and of what it refers to.
fn hash_of(bytes: &[u8], referred: &[Referred]) -> Hash {
    let content = blake3::hash(bytes);
    if referred.is_empty() {
        return content;
    }
    let mut hasher = blake3::Hasher::new();
    hasher.update(content.as_bytes());
    referred.iter().for_each(|referred| referred.add_to(&mut hasher));
    hasher.finalize()
}

/// Enough of a hash to tell revisions apart: 48 bits.
fn short(hash: &Hash) -> String {
    hash.to_hex().chars().take(12).collect()
}

fn revision_of(files: &[FileStatus]) -> String {
    let mut hasher = blake3::Hasher::new();
    for file in files {
        // What is served whole is the same, whether or not the file has changed for the worse since.
        let partly = file.running == Running::Partly;
        let served = file.revision.as_deref().unwrap_or("-");
        let part = format!("{}\0{partly}\0{served}\n", file.path.display());
        hasher.update(part.as_bytes());
    }
    short(&hasher.finalize())
}
