//! Many .debs into a root plus dpkg's database.
