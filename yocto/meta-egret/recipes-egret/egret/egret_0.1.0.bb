SUMMARY = "Camera appliance daemon: RTSP in, detections, tracks and events out over MQTT"
SUMMARY:${PN}-models = "The small network of egret's demo: it knows simulated streets only"
DESCRIPTION = "Decodes cameras in hardware, batches their freshest frames into one network, follows objects and publishes what it saw."
HOMEPAGE = "https://github.com/egret-vision/egret"
BUGTRACKER = "https://github.com/egret-vision/egret/issues"
SECTION = "multimedia"
# egret's own, and those of the crates that are linked in (scripts/yocto-crates.py --licences).
LICENSE = "Apache-2.0 & BSD-3-Clause & IJG & ISC & MIT & Unicode-3.0 & Zlib"
LIC_FILES_CHKSUM = "file://LICENSE;md5=3b83ef96387f14655fc854ddc3c6bd57"

DEPENDS = "glib-2.0 gstreamer1.0 gstreamer1.0-plugins-base"
# For the manual, below.
DEPENDS += "${@bb.utils.contains('MACHINE_FEATURES', 'qemu-usermode', 'qemu-native', '', d)}"

# The checkout that this layer is part of, at its head: recipe, list of crates and sources are one commit.
SRC_URI = "git://${EGRET_CHECKOUT};protocol=file;nobranch=1;usehead=1"
SRCREV = "${AUTOREV}"
require egret-crates.inc

inherit bash-completion cargo pkgconfig qemu systemd useradd

# cargo's arguments. Devices carry no simulator, no demo and no broker.
CARGO_BUILD_FLAGS += "--package egret --bin egret --no-default-features"
PACKAGECONFIG ??= ""
PACKAGECONFIG:tegra ??= "tensorrt"
PACKAGECONFIG[tensorrt] = "--features tensorrt,,tensorrt-core tensorrt-plugins"
# `egret demo` and `egret sim`: for boards on a desk. They replace nothing of the device build and add no package to the image.
PACKAGECONFIG[demo] = "--features demo,,gstreamer1.0-rtsp-server,gstreamer1.0-rtsp-server"

# Headers alone: nothing of NVIDIA's is linked (docs/tensorrt.md).
export EGRET_TENSORRT_HEADERS = "${STAGING_INCDIR}"
# The workspace's release profile strips; here packaging does, so that -dbg has what it needs.
export CARGO_PROFILE_RELEASE_STRIP = "none"

# Man pages and completions are written by the program itself, under emulation as Meson and GObject introspection run what they built.
# Machines that emulation does not do say so (MACHINE_FEATURES_OPTED_OUT) and go without.
EGRET_MANUAL = "${@bb.utils.contains('MACHINE_FEATURES', 'qemu-usermode', '1', '', d)}"
do_compile:append() {
    if [ -n "${EGRET_MANUAL}" ]; then
        ${@qemu_wrapper_cmdline(d, '${STAGING_DIR_HOST}', ['${STAGING_LIBDIR}', '${STAGING_BASELIBDIR}'])} \
            ${B}/target/${CARGO_TARGET_SUBDIR}/egret manual ${B}/manual
    fi
}

# egret@.service: further instances; egret-engine-build.service: started by hand before an update is put to work.
EGRET_UNITS = "egret.service egret@.service egret-engine-build.service"
EGRET_DROP_INS = "cpu-only.conf device-policy-jetpack7.conf log-namespace.conf"

do_install:append() {
    install -d ${D}${systemd_system_unitdir} ${D}${datadir}/egret/drop-ins
    for unit in ${EGRET_UNITS}; do
        install -m 0644 ${S}/systemd/$unit ${D}${systemd_system_unitdir}/
    done
    for drop_in in ${EGRET_DROP_INS}; do
        install -m 0644 ${S}/systemd/drop-ins/$drop_in ${D}${datadir}/egret/drop-ins/
    done
    install -D -m 0644 ${S}/systemd/sysusers.d/egret.conf ${D}${nonarch_libdir}/sysusers.d/egret.conf
    install -D -m 0644 ${S}/systemd/tmpfiles.d/egret.conf ${D}${nonarch_libdir}/tmpfiles.d/egret.conf
    install -D -m 0644 ${S}/systemd/journald@egret.conf.d/10-egret.conf ${D}${nonarch_libdir}/systemd/journald@egret.conf.d/10-egret.conf
    install -D -m 0640 ${S}/systemd/egret.toml ${D}${sysconfdir}/egret/egret.toml
    install -D -m 0644 ${S}/systemd/egret.toml ${D}${datadir}/egret/egret.toml
    chgrp egret ${D}${sysconfdir}/egret/egret.toml
    # The network of the demo, in each of its precisions, and the pages.
    install -d ${D}${datadir}/egret/models ${D}${docdir}/egret
    cp -R --no-preserve=ownership ${S}/models/street/street.onnx ${S}/models/street/model.toml ${S}/models/street/street-fp16 \
        ${S}/models/street/street-int8 ${D}${datadir}/egret/models/
    install -m 0644 ${S}/docs/*.md ${D}${docdir}/egret/
    if [ -n "${EGRET_MANUAL}" ]; then
        install -d ${D}${mandir}/man1 ${D}${mandir}/man5
        install -m 0644 ${B}/manual/man/*.1 ${D}${mandir}/man1/
        install -m 0644 ${B}/manual/man/*.5 ${D}${mandir}/man5/
        install -D -m 0644 ${B}/manual/egret.bash ${D}${datadir}/bash-completion/completions/egret
        install -D -m 0644 ${B}/manual/_egret ${D}${datadir}/zsh/site-functions/_egret
        install -D -m 0644 ${B}/manual/egret.fish ${D}${datadir}/fish/vendor_completions.d/egret.fish
    fi
}

SYSTEMD_SERVICE:${PN} = "egret.service"

# Numbers that never change: the data partition outlives both slots, and its files belong to them.
USERADD_PACKAGES = "${PN}"
# `render` comes with udev, which is in no sysroot: a twin here, so that useradd finds it.
GROUPADD_PARAM:${PN} = "--system --gid 790 egret; --system render"
USERADD_PARAM:${PN} = "--system --uid 790 --gid egret --groups video,render --no-create-home --home-dir ${localstatedir}/lib/egret --shell /sbin/nologin egret"

# What the Tegra overrides change may not share a package with other boards of the same processor.
PACKAGE_ARCH:tegra = "${TEGRA_PKGARCH}"

PACKAGE_BEFORE_PN += "${PN}-fish-completion ${PN}-models ${PN}-zsh-completion"
FILES:${PN}-fish-completion += "${datadir}/fish"
FILES:${PN}-models += "${datadir}/egret/models"
FILES:${PN}-zsh-completion += "${datadir}/zsh"
FILES:${PN} += "${nonarch_libdir} ${datadir}/egret/drop-ins ${datadir}/egret/egret.toml"
CONFFILES:${PN} = "${sysconfdir}/egret/egret.toml"

# What is opened at run time, by name: GStreamer's elements and NVIDIA's libraries. Nothing links them, so nothing finds them by itself.
RDEPENDS:${PN} = " \
    ca-certificates \
    gstreamer1.0 \
    gstreamer1.0-plugins-bad-videoparsersbad \
    gstreamer1.0-plugins-base-app \
    gstreamer1.0-plugins-base-playback \
    gstreamer1.0-plugins-base-typefindfunctions \
    gstreamer1.0-plugins-base-videoconvertscale \
    gstreamer1.0-plugins-base-videorate \
    gstreamer1.0-plugins-base-videotestsrc \
    gstreamer1.0-plugins-good-isomp4 \
    gstreamer1.0-plugins-good-jpeg \
    gstreamer1.0-plugins-good-matroska \
    gstreamer1.0-plugins-good-rtp \
    gstreamer1.0-plugins-good-rtpmanager \
    gstreamer1.0-plugins-good-rtsp \
    gstreamer1.0-plugins-good-udp \
    gstreamer1.0-plugins-good-video4linux2 \
"
RDEPENDS:${PN}:append:tegra = " \
    cuda-cudart \
    cuda-nvrtc \
    gstreamer1.0-plugins-nvvidconv \
    gstreamer1.0-plugins-nvvideo4linux2 \
    nv-tegra-release \
    tegra-libraries-cuda \
    tegra-libraries-eglcore \
    tegra-libraries-multimedia-utils \
    tegra-libraries-multimedia-v4l \
    tegra-libraries-nvml \
    tensorrt-core \
    tensorrt-plugins \
"
