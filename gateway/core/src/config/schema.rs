//! JSON Schemas of the files, for editors and for the reference.

use super::file::{FileConfig, TenantEntry};
use schemars::{JsonSchema, SchemaGenerator, generate::SchemaSettings};
use serde_json::{Map, Value, json};

/// Schema of the main file (JSON Schema 2020-12).
///
/// Two keywords of our own stand beside each key: `x-expected`, what is allowed in words, and `x-applies`, which
/// is `restart` where a reload does not suffice.
#[must_use]
pub fn main_schema() -> Value {
    schema_of::<FileConfig>("Fleetgate main file")
}

/// Schema of a file of tenants (JSON Schema 2020-12).
#[must_use]
pub fn tenants_schema() -> Value {
    schema_of::<Vec<TenantEntry>>("Fleetgate tenants")
}

fn schema_of<T: JsonSchema>(title: &str) -> Value {
    let mut schema: Value =
        SchemaGenerator::new(SchemaSettings::draft2020_12()).into_root_schema_for::<T>().into();
    schema.as_object_mut().map(|root| root.insert("title".into(), title.into()));
    settle(&mut schema);
    schema
}

/// Makes the schema say what the reader does: a key with a default may be left out, and no key may be empty.
fn settle(schema: &mut Value) {
    match schema {
        Value::Object(object) => {
            require_keys_without_default(object);
            without_null(object);
            object.values_mut().for_each(settle);
        }
        Value::Array(entries) => entries.iter_mut().for_each(settle),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

fn require_keys_without_default(object: &mut Map<String, Value>) {
    let Some(Value::Object(properties)) = object.get_mut("properties") else { return };
    let required: Vec<String> = properties
        .iter()
        .filter(|(_, key)| key.get("default").is_none())
        .map(|(name, _)| name.clone())
        .collect();
    for key in properties.values_mut().filter_map(Value::as_object_mut) {
        key.retain(|keyword, value| keyword != "default" || !value.is_null());
    }
    object.insert("required".into(), required.into());
}

/// Undoes what `Option` adds to a schema.
fn without_null(object: &mut Map<String, Value>) {
    if let Some(Value::Array(types)) = object.get_mut("type") {
        types.retain(|kind| kind != "null");
        if let [only] = &**types {
            let only = only.clone();
            object.insert("type".into(), only);
        }
    }
    if let Some(Value::Array(values)) = object.get_mut("enum") {
        values.retain(|value| !value.is_null());
    }
    if let Some(Value::Array(mut kinds)) = object.remove("anyOf") {
        kinds.retain(|kind| *kind != json!({ "type": "null" }));
        if let [Value::Object(only)] = &mut *kinds {
            object.append(only);
        } else {
            object.insert("anyOf".into(), kinds.into());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_schema_knows_what_must_be_written_and_what_is_allowed() {
        let schema = main_schema();
        assert_eq!(schema["required"], json!(["listeners", "pools", "regions"]));
        assert_eq!(schema["additionalProperties"], json!(false));
        assert_eq!(schema["properties"]["threads"]["minimum"], json!(1));
        assert_eq!(schema["properties"]["threads"]["type"], json!("integer"));
        let drain = &schema["$defs"]["DrainEntry"]["properties"]["timeout"];
        assert_eq!(drain["default"], json!("30s"));
        assert!(drain["x-expected"].as_str().unwrap().contains("from 0s to 1h"), "{drain}");
        assert!(!schema.to_string().contains("null"), "{schema:#}");
        assert_eq!(tenants_schema()["type"], json!("array"));
    }
}
