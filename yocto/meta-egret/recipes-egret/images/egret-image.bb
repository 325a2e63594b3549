SUMMARY = "egret appliance"
DESCRIPTION = "Read-only root file system with the daemon, provisioning and updates; everything that changes is on the data partition."
LICENSE = "Apache-2.0"

inherit core-image

IMAGE_FEATURES += "read-only-rootfs ssh-server-openssh"
IMAGE_INSTALL = "packagegroup-core-boot packagegroup-egret ${CORE_IMAGE_EXTRA_INSTALL}"
# No package is installed on a device: it gets a new slot.
IMAGE_FEATURES:remove = "package-management"
IMAGE_LINGUAS = ""
# What an update writes into the other slot.
IMAGE_FSTYPES:append = " tar.gz"

EGRET_UPDATER = "${@bb.utils.contains('BBFILE_COLLECTIONS', 'swupdate', 'swupdate swupdate-client egret-swupdate-config', '', d)}"
IMAGE_INSTALL:append:tegra = " ${EGRET_UPDATER}"

# A device on the internet with an empty password is worse than no image.
EGRET_FORBIDDEN = "debug-tweaks allow-empty-password allow-root-login empty-root-password post-install-logging serial-autologin-root"
python () {
    found = sorted(set(d.getVar("IMAGE_FEATURES").split()) & set(d.getVar("EGRET_FORBIDDEN").split()))
    if found:
        raise bb.parse.SkipRecipe("egret-image has no %s: take it out of IMAGE_FEATURES and EXTRA_IMAGE_FEATURES" % ", ".join(found))
}

# /etc/egret is what provisioning has put on the data partition; the sample of the package stays in /usr/share/egret.
egret_configuration_on_data() {
    rm -rf ${IMAGE_ROOTFS}${sysconfdir}/egret
    ln -s /data/config/current ${IMAGE_ROOTFS}${sysconfdir}/egret
    install -d ${IMAGE_ROOTFS}/data
    # Its folders are those of /usr/share/egret/data-folders.conf here.
    install -d ${IMAGE_ROOTFS}${sysconfdir}/tmpfiles.d
    ln -sf /dev/null ${IMAGE_ROOTFS}${sysconfdir}/tmpfiles.d/egret.conf
}
ROOTFS_POSTPROCESS_COMMAND += "egret_configuration_on_data"
