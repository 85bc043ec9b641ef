//! Let the packages' own scripts and dpkg finish, inside a sandbox.
