//! What Odoo is told about a request, and what is left as it is.
