# Two commands matter: `make demo` shows what it does, `make test` shows that it holds.
# Each target is one script; each script installs what it needs into ~/.cache/kakunin.

.PHONY: demo drift test lint bench dist eval-leash eval-drift soak fuzz vectors clean

demo: ; @scripts/demo.sh
drift: ; @scripts/drift.sh
test: ; @scripts/test.sh
lint: ; @scripts/lint.sh
bench: ; @scripts/bench.sh
dist: ; @scripts/dist.sh
eval-leash: ; @scripts/eval_leash.sh
eval-drift: ; @scripts/eval_drift.sh
soak: ; @scripts/soak.sh
fuzz: ; @scripts/fuzz.sh
vectors: ; @scripts/vectors.sh
clean: ; cargo clean; rm -rf dist
