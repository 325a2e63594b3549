#!/usr/bin/env bash
# Makes what signs updates (docs/updates.md): an authority, whose certificate goes into the image, and a certificate for whoever signs.
# What exists is kept, so that a new signer is made by deleting the old one's two files.
#   yocto/update-keys.sh FOLDER [NAME]
# Afterwards:
#   export EGRET_UPDATE_CA=FOLDER/ca.pem SWUPDATE_CMS_CERT=FOLDER/signer.pem SWUPDATE_CMS_KEY=FOLDER/signer.key
# ca.key signs signers only: keep it off the machine that builds.
set -euo pipefail
case ${1:---} in -*) sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//;p}' "$0" >&2; exit 2 ;; esac
folder=$1
name=${2:-egret updates}
# The authority outlives the devices. A signer's certificate ends, and with it what a stolen key is good for.
ca_days=${EGRET_CA_DAYS:-9125}
signer_days=${EGRET_SIGNER_DAYS:-730}

umask 077
mkdir -p "$folder"
cd "$folder"

request() { # STEM COMMON-NAME
  openssl ecparam -name prime256v1 -genkey -noout -out "$1.key"
  openssl req -new -sha256 -key "$1.key" -subj "/CN=$2" -out "$1.csr"
}

if [ ! -e ca.pem ]; then
  request ca "$name: authority"
  openssl x509 -req -sha256 -in ca.csr -signkey ca.key -days "$ca_days" -out ca.pem -extfile <(
    printf 'basicConstraints=critical,CA:TRUE,pathlen:0\nkeyUsage=critical,keyCertSign,cRLSign\nsubjectKeyIdentifier=hash\n'
  ) 2>/dev/null
fi
if [ ! -e signer.pem ]; then
  request signer "$name: signer"
  openssl x509 -req -sha256 -in signer.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days "$signer_days" -out signer.pem -extfile <(
    printf 'basicConstraints=critical,CA:FALSE\nkeyUsage=critical,digitalSignature\nextendedKeyUsage=critical,codeSigning\nsubjectKeyIdentifier=hash\nauthorityKeyIdentifier=keyid\n'
  ) 2>/dev/null
fi
rm -f ca.csr signer.csr
openssl verify -CAfile ca.pem signer.pem
