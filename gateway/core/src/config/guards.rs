//! Settings of guards: the fleet's, what a pool changes, and what a tenant changes.

use super::file::{CallNames, ClassNetworksEntry, GuardsEntry, Networks, RpcEntry};
use crate::guard::{DatabaseNames, Guards, GuardsIndex};
use crate::rpc::DeniedCalls;
use crate::tenant::NameTemplate;
use crate::traffic::TrafficClass;
use ipnet::IpNet;
use rustc_hash::FxHashMap;
use std::sync::Arc;

/// Settings that are written in one place; the others are left as they are.
#[derive(Debug, Clone, Default)]
pub(super) struct GuardChanges {
    database_manager: Option<Vec<IpNet>>,
    debug_routes: Option<Vec<IpNet>>,
    job_runners: Option<Vec<IpNet>>,
    database_names: Option<DatabaseNames>,
    allow: Vec<(TrafficClass, Vec<IpNet>)>,
    class_bytes: Vec<(TrafficClass, u64)>,
    login_bytes: Option<u64>,
    database_manager_bytes: Option<u64>,
    crawler_traps: (Option<bool>, Option<u16>, Option<u16>),
    database_alias: Option<NameTemplate>,
    deny_models: Option<Vec<Box<str>>>,
    deny_methods: Option<Vec<Box<str>>>,
}

impl GuardChanges {
    /// What was written, without the layout of the file.
    pub(super) fn of(written: GuardsEntry) -> Self {
        let GuardsEntry {
            database_manager,
            debug_routes,
            job_runners,
            database_names,
            allow,
            body_size_max: sizes,
            crawler_traps,
            rpc,
        } = written;
        let mut changes = Self {
            database_manager: database_manager.and_then(|guard| guard.allow).map(networks),
            debug_routes: debug_routes.and_then(|guard| guard.allow).map(networks),
            job_runners: job_runners.and_then(|guard| guard.allow).map(networks),
            database_names: database_names.map(|choice| choice.0),
            allow: allow.map(class_networks).unwrap_or_default(),
            ..Self::default()
        };
        if let Some(sizes) = sizes {
            let classes = [
                (TrafficClass::Page, sizes.page),
                (TrafficClass::Rpc, sizes.rpc),
                (TrafficClass::Static, sizes.r#static),
                (TrafficClass::Report, sizes.report),
                (TrafficClass::Websocket, sizes.websocket),
                (TrafficClass::Longpolling, sizes.longpolling),
                (TrafficClass::Integration, sizes.integration),
            ];
            changes.class_bytes =
                classes.into_iter().filter_map(|(class, size)| Some((class, size?.0))).collect();
            changes.login_bytes = sizes.login.map(|size| size.0);
            changes.database_manager_bytes = sizes.database_manager.map(|size| size.0);
        }
        if let Some(traps) = crawler_traps {
            changes.crawler_traps = (
                traps.enabled,
                traps.parameters_max.map(|number| number.0),
                traps.query_bytes_max.map(|number| number.0),
            );
        }
        if let Some(RpcEntry { database_alias, deny_models, deny_methods }) = rpc {
            changes.database_alias = database_alias.map(|alias| alias.0);
            changes.deny_models = deny_models.map(call_names);
            changes.deny_methods = deny_methods.map(call_names);
        }
        changes
    }

    /// The settings with the changes made.
    pub(super) fn on(&self, base: &Guards) -> Guards {
        let mut guards = base.clone();
        set(&mut guards.database_manager, self.database_manager.as_ref());
        set(&mut guards.debug_routes, self.debug_routes.as_ref());
        set(&mut guards.job_runners, self.job_runners.as_ref());
        set(&mut guards.database_names, self.database_names.as_ref());
        for (class, networks) in &self.allow {
            guards.allow.limit(*class, networks.clone());
        }
        for (class, bytes) in &self.class_bytes {
            if let Some(size) = guards.body_size_max.classes.get_mut(class.position()) {
                *size = *bytes;
            }
        }
        set(&mut guards.body_size_max.login, self.login_bytes.as_ref());
        set(&mut guards.body_size_max.database_manager, self.database_manager_bytes.as_ref());
        let (enabled, parameters_max, query_bytes_max) = &self.crawler_traps;
        set(&mut guards.crawler_traps.enabled, enabled.as_ref());
        set(&mut guards.crawler_traps.parameters_max, parameters_max.as_ref());
        set(&mut guards.crawler_traps.query_bytes_max, query_bytes_max.as_ref());
        if self.database_alias.is_some() {
            guards.rpc.database_alias.clone_from(&self.database_alias);
        }
        if self.deny_models.is_some() || self.deny_methods.is_some() {
            let mut denied = guards.rpc.denied.as_deref().cloned().unwrap_or_default();
            set(&mut denied.models, self.deny_models.as_ref());
            set(&mut denied.methods, self.deny_methods.as_ref());
            guards.rpc.denied = (denied != DeniedCalls::default()).then(|| Arc::new(denied));
        }
        guards
    }
}

fn set<T: Clone>(setting: &mut T, change: Option<&T>) {
    if let Some(change) = change {
        setting.clone_from(change);
    }
}

fn networks(list: Networks) -> Vec<IpNet> {
    list.0.into_iter().map(|network| network.0).collect()
}

fn call_names(list: CallNames) -> Vec<Box<str>> {
    list.0.into_iter().map(|name| name.0).collect()
}

fn class_networks(written: ClassNetworksEntry) -> Vec<(TrafficClass, Vec<IpNet>)> {
    let ClassNetworksEntry { page, rpc, r#static, report, websocket, longpolling, integration } = written;
    let lists = [
        (TrafficClass::Page, page),
        (TrafficClass::Rpc, rpc),
        (TrafficClass::Static, r#static),
        (TrafficClass::Report, report),
        (TrafficClass::Websocket, websocket),
        (TrafficClass::Longpolling, longpolling),
        (TrafficClass::Integration, integration),
    ];
    lists.into_iter().filter_map(|(class, list)| Some((class, networks(list?)))).collect()
}

/// Settings of a fleet under construction: equal ones have one place.
pub(super) struct GuardSets {
    all: Vec<Guards>,
    places: FxHashMap<Guards, GuardsIndex>,
    /// Of the pools, by their index.
    pools: Vec<GuardsIndex>,
}

impl GuardSets {
    /// The fleet's own settings, and those of the pools.
    pub(super) fn new<'a>(
        fleet: &GuardChanges,
        pools: impl Iterator<Item = Option<&'a GuardChanges>>,
    ) -> Self {
        let base = fleet.on(&Guards::new());
        let mut sets = Self { all: Vec::new(), places: FxHashMap::default(), pools: Vec::new() };
        let fleet = sets.place(base.clone());
        for changes in pools {
            let index = changes.map_or(fleet, |changes| sets.place(changes.on(&base)));
            sets.pools.push(index);
        }
        sets
    }

    /// The settings of a tenant: those of its pool, with its own changes.
    pub(super) fn of_tenant(&mut self, pool: usize, changes: Option<&GuardChanges>) -> GuardsIndex {
        let base = self.pools.get(pool).copied().unwrap_or_default();
        match changes {
            Some(changes) => {
                let guards = changes.on(Guards::at(&self.all, base));
                self.place(guards)
            }
            None => base,
        }
    }

    /// Every set, by its place.
    pub(super) fn finish(self) -> Vec<Guards> {
        self.all
    }

    fn place(&mut self, guards: Guards) -> GuardsIndex {
        if let Some(known) = self.places.get(&guards) {
            return *known;
        }
        // There are far fewer tenants than places.
        let index = GuardsIndex(u32::try_from(self.all.len()).unwrap_or_default());
        self.all.push(guards.clone());
        self.places.insert(guards, index);
        index
    }
}
