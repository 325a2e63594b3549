SUMMARY = "A signed update of the egret appliance"
DESCRIPTION = "egret-image and the boot firmware that belongs to it, for the slot that does not run."
HOMEPAGE = "https://github.com/egret-vision/egret"
LICENSE = "Apache-2.0"
LIC_FILES_CHKSUM = "file://${COMMON_LICENSE_DIR}/Apache-2.0;md5=89aea4e17d99a7cacdbeed46a0096b10"

SRC_URI = " \
    file://egret-switch \
    file://sw-description \
"

inherit swupdate

COMPATIBLE_MACHINE = "(tegra)"

EGRET_ROOTFS = "egret-image-${MACHINE}.rootfs.tar.gz"
IMAGE_DEPENDS = "egret-image"
SWUPDATE_IMAGES = "${EGRET_ROOTFS} tegra-bl.cap"
do_swuimage[depends] += "tegra-uefi-capsules:do_deploy"

# Certificate and key of whoever signs; the authority behind them is EGRET_UPDATE_CA of the image.
SWUPDATE_SIGNING = "CMS"
SWUPDATE_CMS_CERT ??= ""
SWUPDATE_CMS_KEY ??= ""
python () {
    if not d.getVar("SWUPDATE_CMS_CERT") or not d.getVar("SWUPDATE_CMS_KEY"):
        raise bb.parse.SkipRecipe("set SWUPDATE_CMS_CERT and SWUPDATE_CMS_KEY: an update without a signature is of no use (docs/updates.md)")
}
