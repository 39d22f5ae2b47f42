//! Who may do what: RBAC, as the stored roles and bindings say.
