SUMMARY = "What an egret appliance is made of"
SUMMARY:${PN}-software-decoders = "H.264 and H.265 on the CPU: FFmpeg, patents to be cleared by whoever ships it"
DESCRIPTION = "The daemon, provisioning and the appliance's settings; on Jetson boards also what sets clocks, fan and power mode."
LICENSE = "Apache-2.0"

# Before the class, which would take all boards for one.
PACKAGE_ARCH = "${MACHINE_ARCH}"
inherit packagegroup

PACKAGES = "${PN} ${PN}-software-decoders"

EGRET_CLOCK = "${@bb.utils.contains('BBFILE_COLLECTIONS', 'networking-layer', 'egret-clock', '', d)}"
RDEPENDS:${PN} = " \
    ${EGRET_CLOCK} \
    ca-certificates \
    egret \
    egret-base \
    egret-provision \
    openssh \
    os-release \
"
RDEPENDS:${PN}:append:tegra = " \
    egret-update \
    tegra-nvfancontrol \
    tegra-nvpmodel \
    tegra-nvpower \
    tegra-redundant-boot \
"

# Decoders on the CPU: packages with a commercial licence flag, so never in by themselves (docs/yocto.md, Licences).
RDEPENDS:${PN}-software-decoders = "${@bb.utils.contains('LICENSE_FLAGS_ACCEPTED', 'commercial', 'gstreamer1.0-libav', '', d)}"
ALLOW_EMPTY:${PN}-software-decoders = "1"
