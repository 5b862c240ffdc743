//! Which of the two ports of Odoo a path goes to.
