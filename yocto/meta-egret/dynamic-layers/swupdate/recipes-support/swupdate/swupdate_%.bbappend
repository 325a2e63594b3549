# Signed bundles only, no listening port, no boot loader environment: UEFI holds the slots. In egret's distribution alone.
FILESEXTRAPATHS:prepend:egret-appliance := "${THISDIR}/files:"
SRC_URI:append:egret-appliance = " file://egret.cfg"
