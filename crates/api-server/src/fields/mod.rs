//! Sets of fields, as `managedFields` writes them (`FieldsV1`).
