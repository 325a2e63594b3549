# Short names for what scripts/ and cargo do.
.DEFAULT_GOAL := help
.PHONY: help demo test release lint fmt bench clean-runtime acceptance acceptance-deb acceptance-boot acceptance-arm64 acceptance-flash acceptance-update acceptance-yocto

# Arguments of `egret demo`.
DEMO_ARGS ?=

# Where scripts/setup.sh puts ONNX Runtime. Without it the built-in runtime takes over.
ONNXRUNTIME := $(CURDIR)/.runtime/libonnxruntime.so
with_runtime = if [ -e "$(ONNXRUNTIME)" ]; then export ORT_DYLIB_PATH="$(ONNXRUNTIME)"; fi;

help: ## Print this list.
	@sed -n 's/^\([a-z0-9-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 20

demo: ## Install what is missing, build, and show detections from four simulated cameras in the terminal.
	@scripts/demo.sh $(DEMO_ARGS)

test: ## Install what is missing, then run every check and every test.
	@scripts/test.sh

release: ## Build the daemon for a device: no simulator, no demo.
	cargo build --locked --release --package egret --no-default-features

lint: ## Formatting and lints alone.
	@scripts/tensorrt-headers.sh
	cargo fmt --all --check
	cargo clippy --locked --workspace --all-targets --all-features -- -D warnings

fmt: ## Format the sources.
	cargo fmt --all

bench: ## Measure the daemon's own cost per frame (release build).
	@scripts/setup.sh runtime
	@$(with_runtime) cargo run --locked --release --package egret -- bench

acceptance: acceptance-deb acceptance-boot acceptance-arm64 acceptance-flash acceptance-update acceptance-yocto ## The long proofs, one after the other.

acceptance-yocto: ## The Yocto layer with the real BitBake: parses, resolves, unpacks (minutes).
	@scripts/acceptance/yocto.sh

acceptance-flash: ## A JetPack-like root file system prepared for flashing, by real tools under emulation (root).
	@scripts/acceptance/flash.sh

acceptance-update: ## Signed updates of the image by swupdate itself, built from its release: good, refused, cut off (root).
	@scripts/acceptance/update.sh

acceptance-deb: ## Both Debian packages (release builds), and lintian without a warning.
	@scripts/acceptance/packages.sh

acceptance-boot: ## The packages in a booted container: start, failures, reload, upgrade, purge (root).
	@scripts/acceptance/boot.sh

acceptance-arm64: ## Packages for arm64 in a cross root, and their programs under emulation (root).
	@scripts/acceptance/arm64.sh

clean-runtime: ## Remove the downloaded ONNX Runtime and the Python reference.
	rm -rf .runtime target/reference-venv
