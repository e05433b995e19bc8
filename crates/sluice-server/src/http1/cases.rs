//! Requests and the verdicts they must get.
