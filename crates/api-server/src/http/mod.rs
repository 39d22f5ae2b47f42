//! HTTP: URLs and bodies to requests, answers to bytes; discovery and tables.
