//! `docs/config.md`, from the schemas.

use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::fmt::Write;

/// What no schema says.
const INTRODUCTION: &str = include_str!("reference.md");

/// The reference as Markdown.
pub(super) fn markdown(main: &Value, tenants: &Value) -> String {
    let mut pages = Pages { root: main, homes: BTreeMap::new(), text: INTRODUCTION.to_owned() };
    pages.find_homes("", main);
    pages.section("Main file", "", main, Applies::Reload);
    let tenant = tenants.get("items").map(|items| resolve(tenants, items));
    let mut pages = Pages { root: tenants, homes: pages.homes, text: pages.text };
    if let Some(tenant) = tenant {
        pages.find_homes("[]", tenant);
        pages.section("Tenants", "[]", tenant, Applies::Reload);
    }
    pages.text
}

/// Tenants of the main file are those of the tenant files, which have a section of their own.
const TENANTS_PATH: &str = "tenants[]";

/// When a change is taken.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Applies {
    Reload,
    Restart,
}

struct Pages<'a> {
    root: &'a Value,
    /// Where a section that stands in several places is described.
    homes: BTreeMap<String, String>,
    text: String,
}

impl<'a> Pages<'a> {
    /// A table of the keys of a section, then the sections below it.
    fn section(&mut self, title: &str, path: &str, section: &'a Value, applies: Applies) {
        let Some(Value::Object(keys)) = section.get("properties") else { return };
        self.line(&format!("\n## {title}\n"));
        self.line(&flowing(text_of(section, "description")));
        self.line("\n| Key | Value | Default | Applies | Meaning |\n|---|---|---|---|---|");
        let mut below = Vec::new();
        for (key, schema) in required_first(section, keys) {
            let applies = match text_of(schema, "x-applies") {
                "restart" => Applies::Restart,
                _ => applies,
            };
            let shape = self.shape(schema, &joined(path, key));
            let value = match &shape {
                Shape::Section { path, home, many, .. } => {
                    let alike = if path == home { "" } else { "as " };
                    format!("{many}{alike}[`{home}`](#{})", anchor(home))
                }
                Shape::Value if text_of(schema, "type") == "boolean" => "`true` or `false`".to_owned(),
                Shape::Value => text_of(schema, "x-expected").to_owned(),
            };
            self.row(key, &value, &default_of(section, key, schema), applies, text_of(schema, "description"));
            if let Shape::Section { path, home, section, .. } = shape
                && path == home
                && path != TENANTS_PATH
            {
                below.push((path, section, applies));
            }
        }
        for (path, section, applies) in below {
            self.section(&format!("`{path}`"), &path, section, applies);
        }
    }

    /// Finds the place that is nearest to the root for each section below one.
    fn find_homes(&mut self, path: &str, section: &'a Value) {
        let mut level = vec![(path.to_owned(), section)];
        while !level.is_empty() {
            let mut below = Vec::new();
            for (path, section) in level {
                let keys = section.get("properties").and_then(Value::as_object).into_iter().flatten();
                for (key, schema) in keys {
                    let Shape::Section { path, section, name, .. } = self.shape(schema, &joined(&path, key))
                    else {
                        continue;
                    };
                    if path != TENANTS_PATH && !self.homes.contains_key(&name) {
                        self.homes.insert(name, path.clone());
                        below.push((path, section));
                    }
                }
            }
            level = below;
        }
    }

    fn shape(&self, schema: &'a Value, key_path: &str) -> Shape<'a> {
        let entry = |schema: &'a Value, path: String, many: String| {
            let section = resolve(self.root, schema);
            if section.get("properties").is_some() {
                let name = text_of(schema, "$ref").to_owned();
                let home = self.homes.get(&name).unwrap_or(&path).clone();
                Shape::Section { path, home, name, many, section }
            } else {
                Shape::Value
            }
        };
        if let Some(items) = schema.get("items") {
            let many = format!("list of {}, each ", bounds(schema, "minItems", "maxItems"));
            return entry(items, format!("{key_path}[]"), many);
        }
        if let Some(values) = schema.get("additionalProperties").filter(|values| values.is_object()) {
            let many =
                format!("map from {} names, each to ", bounds(schema, "minProperties", "maxProperties"));
            return entry(values, format!("{key_path}.<name>"), many);
        }
        entry(schema, key_path.to_owned(), String::new())
    }

    fn row(&mut self, key: &str, value: &str, default: &str, applies: Applies, meaning: &str) {
        let applies = if applies == Applies::Restart { "restart" } else { "reload" };
        let cell = |text: &str| flowing(text).replace('|', "\\|");
        self.line(&format!(
            "| `{key}` | {} | {} | {applies} | {} |",
            cell(value),
            cell(default),
            cell(meaning)
        ));
    }

    fn line(&mut self, text: &str) {
        // A String takes every write.
        let _written = writeln!(self.text, "{text}").is_ok();
    }
}

/// Whether a key holds a value or sections of their own.
enum Shape<'a> {
    Value,
    Section { path: String, home: String, name: String, many: String, section: &'a Value },
}

fn joined(path: &str, key: &str) -> String {
    if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") }
}

fn resolve<'a>(root: &'a Value, schema: &'a Value) -> &'a Value {
    let target = schema.get("$ref").and_then(Value::as_str).and_then(|target| target.strip_prefix('#'));
    target.and_then(|pointer| root.pointer(pointer)).unwrap_or(schema)
}

fn required_first<'a>(section: &Value, keys: &'a Map<String, Value>) -> Vec<(&'a String, &'a Value)> {
    let mut keys: Vec<_> = keys.iter().collect();
    keys.sort_by_key(|(key, _)| !is_required(section, key));
    keys
}

fn is_required(section: &Value, key: &str) -> bool {
    let required = section.get("required").and_then(Value::as_array);
    required.is_some_and(|required| required.iter().any(|name| name == key))
}

fn default_of(section: &Value, key: &str, schema: &Value) -> String {
    if is_required(section, key) {
        return "*required*".into();
    }
    match (schema.get("x-default").and_then(Value::as_str), schema.get("default")) {
        (Some(words), _) => words.into(),
        (None, Some(Value::String(text))) => format!("`{text}`"),
        (None, Some(Value::Object(map))) if map.is_empty() => "its defaults".into(),
        (None, Some(Value::Array(list))) if list.is_empty() => "none".into(),
        (None, Some(value)) => format!("`{value}`"),
        (None, None) => "none".into(),
    }
}

fn bounds(schema: &Value, least: &str, most: &str) -> String {
    let number = |key: &str| schema.get(key).and_then(Value::as_u64).unwrap_or_default();
    format!("{} to {}", number(least), number(most))
}

fn text_of<'a>(schema: &'a Value, key: &str) -> &'a str {
    schema.get(key).and_then(Value::as_str).unwrap_or_default()
}

/// A text on one line.
fn flowing(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The anchor that Markdown renderers give a heading.
fn anchor(heading: &str) -> String {
    heading
        .chars()
        .filter(|character| character.is_alphanumeric() || matches!(character, '_' | '-'))
        .collect()
}
