//! The checks of the doctor, one in each file.

pub(super) mod admission;
pub(super) mod authorities;
pub(super) mod caa;
pub(super) mod certificate;
pub(super) mod challenge;
pub(super) mod client_request;
pub(super) mod clock;
pub(super) mod directory;
pub(super) mod forged_subjects;
pub(super) mod health;
pub(super) mod idle;
pub(super) mod name;
pub(super) mod old_versions;
pub(super) mod port;
pub(super) mod redirect;
pub(super) mod resumption;
pub(super) mod validation;
mod validator;
pub(super) mod versions;
