//! The library's handle: doors, drain, report and exports tied together.
