//! Names of elements.

/// An element that XML-RPC knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tag {
    MethodCall,
    MethodName,
    Params,
    Param,
    Value,
    Array,
    Data,
    Struct,
    Member,
    Name,
    String,
    /// A value without elements that is no text; its place in the list of types.
    Scalar(u8),
}

/// Types of values without elements. Source: CPython 3.7 to 3.13 `Lib/xmlrpc/client.py`, `Unmarshaller.dispatch`.
const SCALARS: [&[u8]; 13] = [
    b"int",
    b"i4",
    b"boolean",
    b"double",
    b"nil",
    b"base64",
    b"dateTime.iso8601",
    b"i8",
    b"i1",
    b"i2",
    b"float",
    b"biginteger",
    b"bigdecimal",
];

impl Tag {
    /// Reads a name. Types may have the prefix `ex:`, by which Apache's library marks its extensions.
    pub(super) fn of(name: &[u8]) -> Option<Self> {
        Some(match name {
            b"value" => Self::Value,
            b"string" => Self::String,
            b"name" => Self::Name,
            b"member" => Self::Member,
            b"struct" => Self::Struct,
            b"data" => Self::Data,
            b"array" => Self::Array,
            b"param" => Self::Param,
            b"params" => Self::Params,
            b"methodName" => Self::MethodName,
            b"methodCall" => Self::MethodCall,
            _ => {
                let name = name.strip_prefix(b"ex:").unwrap_or(name);
                let place = SCALARS.iter().position(|scalar| *scalar == name)?;
                Self::Scalar(u8::try_from(place).ok()?)
            }
        })
    }
}
