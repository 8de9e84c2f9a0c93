#!/bin/sh
# Makes certificates for DICOM TLS: an authority of your own, one for Lightbox, one for each peer.
#
#   sh certificates.sh DIR lightbox.hospital.example            the first time
#   sh certificates.sh DIR ct1.hospital.example CT1             one more, with an AE title
#
# Without an AE title it is Lightbox's: cert.pem and key.pem. With one it is a peer's:
# CT1-cert.pem and CT1-key.pem, with the AE title as its common name. The authority (ca.pem,
# ca-key.pem) is made once and kept; ca-key.pem belongs in a safe, not on this machine.
# A certificate is valid for two years; run it again to renew it, the authority stays.
set -eu

if [ $# -lt 2 ]; then
    sed -n '2,11s/^# \{0,1\}//p' "$0" >&2
    exit 2
fi
folder=$1 host=$2 title=${3:-}
case "$title" in *[!A-Za-z0-9_-]*) echo "$title: letters, digits, - and _ only" >&2; exit 2 ;; esac
mkdir -p "$folder"
cd "$folder"
umask 077

if [ ! -f ca-key.pem ]; then
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -sha256 -days 3650 \
        -keyout ca-key.pem -out ca.pem -subj "/CN=Lightbox authority" \
        -addext "basicConstraints=critical,CA:TRUE" \
        -addext "keyUsage=critical,keyCertSign,cRLSign" 2>/dev/null
fi

prefix=${title:+$title-}
name=${title:-LIGHTBOX}
case "$host" in
    *[!0-9.]*) alternative="DNS:$host" ;;
    *) alternative="IP:$host" ;;
esac
request=$(mktemp)
extensions=$(mktemp)
trap 'rm -f "$request" "$extensions"' EXIT
openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -sha256 \
    -keyout "${prefix}key.pem" -out "$request" -subj "/CN=$name" 2>/dev/null
cat >"$extensions" <<END
basicConstraints=critical,CA:FALSE
keyUsage=critical,digitalSignature
extendedKeyUsage=serverAuth,clientAuth
subjectAltName=$alternative
END
openssl x509 -req -in "$request" -CA ca.pem -CAkey ca-key.pem -sha256 -days 730 \
    -set_serial "0x$(openssl rand -hex 16)" -extfile "$extensions" -out "${prefix}cert.pem" 2>/dev/null
chmod 644 ca.pem "${prefix}cert.pem"
echo "$folder/${prefix}cert.pem: $name at $host, until $(openssl x509 -in "${prefix}cert.pem" -noout -enddate | cut -d= -f2)"
