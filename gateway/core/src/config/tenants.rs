//! A file of tenants, as much of it as is good, in the little memory a hundred thousand of them may take.

use super::authorities;
use super::file::{ClientCertificatesEntry, IdText, MaintenanceEntry, StateWord, TenantEntry};
use super::guards::GuardChanges;
use super::limits::LimitChanges;
use super::problem::{Problem, Spot};
use super::read::{At, Read, Reader, Step};
use super::reference::References;
use super::yaml::{Document, Node, Start};
use crate::client_certificate::ClientCertificates;
use crate::host::{HostName, HostPattern};
use crate::tenant::{Maintenance, NameTemplate, TenantState};
use std::sync::Arc;

/// Tenants of one file.
#[derive(Debug, Clone)]
pub struct TenantFile {
    pub(super) name: Arc<str>,
    pub(super) entries: Vec<Entry>,
    /// What entries change about guards, those that change anything.
    pub(super) guards: Vec<GuardChanges>,
    /// What entries change about limits, those that change anything.
    pub(super) limits: Vec<LimitChanges>,
    /// What entries ask of clients' certificates, those that ask for any.
    pub(super) client_certificates: Vec<ClientCertificates>,
    pub(super) sound: bool,
    /// Every host name in the text of a file that is not sound: some belong to entries that could not be read.
    pub(super) mentions: Box<[HostName]>,
    /// Whether the entries lie under a key of the main file.
    pub(super) inline: bool,
}

/// One tenant of a file.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    pub(super) index: u32,
    /// Place in the file's `guards`, from 1; 0 when nothing is changed. In a large fleet that is nearly everybody.
    guards: u32,
    /// Place in the file's `limits`, likewise.
    limits: u32,
    /// Place in the file's `client_certificates`, likewise.
    client_certificates: u32,
    pub(super) at: Spot,
    pub(super) id: NameTemplate,
    /// `None`: the same text as the id.
    pub(super) database: Option<(Spot, NameTemplate)>,
    pub(super) hosts: Box<[EntryHost]>,
    pub(super) canonical_host: Option<HostName>,
    pub(super) pool: Option<(Spot, Arc<str>)>,
    pub(super) plan: Option<(Spot, Arc<str>)>,
    pub(super) state: TenantState,
}

/// A host with its position, to name it in a conflict.
#[derive(Debug, Clone)]
pub(super) struct EntryHost {
    pub(super) at: Spot,
    pub(super) pattern: HostPattern,
}

impl Entry {
    /// What the entry changes about guards.
    pub(super) fn guards<'a>(&self, file: &'a TenantFile) -> Option<&'a GuardChanges> {
        file.guards.get(usize::try_from(self.guards.checked_sub(1)?).ok()?)
    }

    /// What the entry changes about limits.
    pub(super) fn limits<'a>(&self, file: &'a TenantFile) -> Option<&'a LimitChanges> {
        file.limits.get(usize::try_from(self.limits.checked_sub(1)?).ok()?)
    }

    /// What the entry asks of clients' certificates.
    pub(super) fn client_certificates<'a>(&self, file: &'a TenantFile) -> Option<&'a ClientCertificates> {
        file.client_certificates.get(usize::try_from(self.client_certificates.checked_sub(1)?).ok()?)
    }
}

impl TenantFile {
    /// Reads a file of tenants: a list, or nothing. Every problem is returned; the entries without one are kept.
    ///
    /// Text that is no YAML keeps no entry, as the file may have been cut off anywhere.
    #[must_use]
    pub fn parse(name: &str, text: &str, world: &dyn References) -> (Self, Vec<Problem>) {
        let name: Arc<str> = name.into();
        let mut reader = Reader::new(&name, world);
        let mut entries = Entries::default();
        let mut document = Document::new(text, world);
        match document.start() {
            Ok(Start::Empty) => {}
            Ok(Start::List) => {
                let mut index = 0_usize;
                loop {
                    match document.next_entry() {
                        Ok(Some(node)) => {
                            let errors_before = reader.error_count();
                            let entry = reader.inside(Step::Index(index), |reader| {
                                <At<TenantEntry>>::read(&node, reader)
                                    .map(|written| entries.entry(index, written, reader))
                            });
                            entries.list.extend(entry.filter(|_| reader.error_count() == errors_before));
                        }
                        Ok(None) => break,
                        Err(syntax) => {
                            entries.list.clear();
                            reader.syntax(syntax);
                            break;
                        }
                    }
                    index = index.saturating_add(1);
                }
            }
            Ok(Start::Node(node)) => {
                let hint = "start every tenant with `- id:`";
                reader.error(node.at, "expected a list of tenants".into(), Some(hint.into()));
            }
            Err(syntax) => reader.syntax(syntax),
        }
        entries.list.shrink_to_fit();
        let sound = reader.error_count() == 0;
        let mentions = if sound { Box::default() } else { mentions(text) };
        let Entries { list: entries, guards, limits, client_certificates, .. } = entries;
        let file =
            Self { name, entries, guards, limits, client_certificates, sound, mentions, inline: false };
        (file, reader.finish())
    }

    /// The tenants of the main file. An entry with a problem may be among them: a broken main file is not used.
    pub(super) fn inline(name: &Arc<str>, written: Vec<At<TenantEntry>>, reader: &mut Reader<'_>) -> Self {
        let mut entries = Entries::default();
        for (index, written) in written.into_iter().enumerate() {
            let entry = reader.inside(Step::Key("tenants"), |reader| {
                reader.inside(Step::Index(index), |reader| entries.entry(index, written, reader))
            });
            entries.list.push(entry);
        }
        Self {
            name: Arc::clone(name),
            entries: entries.list,
            guards: entries.guards,
            limits: entries.limits,
            client_certificates: entries.client_certificates,
            sound: true,
            mentions: Box::default(),
            inline: true,
        }
    }

    /// Name of the file, as the caller gave it.
    #[must_use]
    pub fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// Whether the file was read without an error.
    #[must_use]
    pub fn is_sound(&self) -> bool {
        self.sound
    }

    /// Whether an entry of the file has this host.
    pub(super) fn claims(&self, pattern: &HostPattern) -> bool {
        self.entries.iter().any(|entry| entry.hosts.iter().any(|host| host.pattern == *pattern))
    }

    /// Number of entries that could be read.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether no entry could be read.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }
}

/// Everything in a text that can be a host name with a dot in it.
fn mentions(text: &str) -> Box<[HostName]> {
    let words =
        text.split(|character: char| !character.is_alphanumeric() && !matches!(character, '.' | '-' | '_'));
    words.filter(|word| word.contains('.')).filter_map(|word| HostName::parse(word).ok()).collect()
}

/// Entries under construction. Names of pools and plans, few and repeated, are stored once.
#[derive(Default)]
struct Entries {
    list: Vec<Entry>,
    guards: Vec<GuardChanges>,
    limits: Vec<LimitChanges>,
    names: Vec<Arc<str>>,
    client_certificates: Vec<ClientCertificates>,
}

impl Entries {
    /// Checks what can be checked about an entry alone.
    fn entry(&mut self, index: usize, written: At<TenantEntry>, reader: &mut Reader<'_>) -> Entry {
        let At { at, value: written } = written;
        let hosts: Vec<EntryHost> = written
            .hosts
            .value
            .0
            .into_iter()
            .map(|host| EntryHost { at: host.at, pattern: host.value.0 })
            .collect();
        check_hosts(&hosts, reader);
        let id = written.id;
        let database = written.database.map(|database| {
            let same = database.value.0 == id.value.0;
            // Most databases are named like the tenant: one text serves for both.
            (database.at, if same { id.value.0.clone() } else { database.value.0 })
        });
        check_names(&id, database.as_ref(), &hosts, reader);
        let canonical_host =
            written.canonical_host.map(|host| check_canonical(host.at, host.value.0, &hosts, reader));
        Entry {
            index: u32::try_from(index).unwrap_or(u32::MAX),
            guards: written.guards.map_or(0, |guards| self.guards(GuardChanges::of(guards))),
            limits: written.limits.map_or(0, |limits| self.limits(LimitChanges::of(limits.at, limits.value))),
            client_certificates: written
                .client_certificates
                .and_then(|asked| self.client_certificates(asked, reader))
                .unwrap_or_default(),
            at,
            id: id.value.0,
            database,
            hosts: hosts.into(),
            canonical_host,
            pool: written.pool.map(|pool| (pool.at, self.name(&pool.value.0))),
            plan: written.plan.map(|plan| (plan.at, self.name(&plan.value.0))),
            state: state(written.state.0, written.maintenance, reader),
        }
    }

    /// Keeps changes, and returns their place from 1.
    fn guards(&mut self, changes: GuardChanges) -> u32 {
        self.guards.push(changes);
        u32::try_from(self.guards.len()).unwrap_or_default()
    }

    /// Keeps changes, and returns their place from 1.
    fn limits(&mut self, changes: LimitChanges) -> u32 {
        self.limits.push(changes);
        u32::try_from(self.limits.len()).unwrap_or_default()
    }

    /// Reads the authorities, keeps what is asked, and returns its place from 1. `None` after a problem was reported.
    fn client_certificates(
        &mut self,
        written: ClientCertificatesEntry,
        reader: &mut Reader<'_>,
    ) -> Option<u32> {
        let ClientCertificatesEntry { ca, required, forward } = written;
        let authorities =
            reader.inside(Step::Key("client_certificates"), |reader| authorities::read(&ca, "ca", reader))?;
        self.client_certificates.push(ClientCertificates { authorities, required, forward });
        u32::try_from(self.client_certificates.len()).ok()
    }

    fn name(&mut self, name: &str) -> Arc<str> {
        if let Some(known) = self.names.iter().find(|known| ***known == *name) {
            return Arc::clone(known);
        }
        let name: Arc<str> = name.into();
        self.names.push(Arc::clone(&name));
        name
    }
}

fn check_hosts(hosts: &[EntryHost], reader: &mut Reader<'_>) {
    let mut sorted: Vec<&EntryHost> = hosts.iter().collect();
    sorted.sort_by(|left, right| left.pattern.cmp(&right.pattern).then(left.at.cmp(&right.at)));
    for (left, right) in sorted.iter().zip(sorted.iter().skip(1)) {
        if left.pattern == right.pattern {
            let message = format!("the host `{}` is there twice", right.pattern);
            reader.conflict(right.at, left.at, message, Some("remove one of them".into()));
        }
    }
}

/// `{1}` needs a star in every host, and an id that serves as the database name has to be one.
fn check_names(
    id: &At<IdText>,
    database: Option<&(Spot, NameTemplate)>,
    hosts: &[EntryHost],
    reader: &mut Reader<'_>,
) {
    let exact = hosts.iter().find(|host| matches!(host.pattern, HostPattern::Exact(_)));
    let id_template = &id.value.0;
    let placeholders = [
        ("id", id.at, id_template.has_placeholder()),
        (
            "database",
            database.map_or(id.at, |(at, _)| *at),
            database.is_some_and(|(_, name)| name.has_placeholder()),
        ),
    ];
    for (key, at, has_placeholder) in placeholders {
        if let (Some(exact), true) = (exact, has_placeholder) {
            let message =
                format!("`{{1}}` in `{key}` is the label of a star, and `{}` has none", exact.pattern);
            reader.conflict(at, exact.at, message, Some("use only `*.suffix` hosts in this entry".into()));
        }
    }
    if database.is_none()
        && let Err(error) = NameTemplate::database(id_template.as_written())
    {
        let message = format!("the database is named like the id, `{id_template}`, and {error}");
        reader.error(id.at, message, Some("write `database:`".into()));
    }
}

fn check_canonical(at: Spot, host: HostName, hosts: &[EntryHost], reader: &mut Reader<'_>) -> HostName {
    let known =
        hosts.iter().any(|other| matches!(&other.pattern, HostPattern::Exact(exact) if *exact == host));
    if !known {
        let hint = "add it to `hosts`; a star does not count";
        reader.error(at, format!("`{host}` is none of the entry's exact hosts"), Some(hint.into()));
    }
    host
}

fn state(word: StateWord, maintenance: Option<MaintenanceEntry>, reader: &mut Reader<'_>) -> TenantState {
    match word {
        StateWord::Active => TenantState::Active,
        StateWord::Suspended => TenantState::Suspended,
        StateWord::Maintenance => {
            let all_defaults = || MaintenanceEntry::read(&Node::of_default(&serde_json::json!({})), reader);
            maintenance.or_else(all_defaults).map_or(TenantState::Suspended, |maintenance| {
                TenantState::Maintenance(Box::new(Maintenance {
                    retry_after_seconds: u32::try_from(maintenance.retry_after.0.as_secs())
                        .unwrap_or(u32::MAX),
                    message: maintenance.message.map(|message| message.0),
                    allow: maintenance.allow.0.into_iter().map(|network| network.0).collect(),
                }))
            })
        }
    }
}
