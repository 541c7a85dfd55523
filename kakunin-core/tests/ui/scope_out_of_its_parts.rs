use kakunin_core::scope::{Scope, ScopeParts};

fn unchecked(parts: ScopeParts) -> Scope {
    Scope(parts)
}

fn widened(scope: &mut Scope) {
    scope.parts().limits.clear();
}

fn main() {}
