//! The cluster side: facts, mesh objects, tokens.
