#!/bin/sh
# Fetches OHIF, built as its makers publish it, into the folder that is named; nothing of it is part
# of the product (MIT licence, 204 MB). The archive is taken only if it is the one that was tested.
set -eu
version=3.13.2
sha512=5997719a9986eeba85816f5924b71b82bdd70ad2e2d4a0cd3e831a798e4f3deea3e06e1f8c48e393271933a0ba664d85f3b04ac457e9abe8dde715d907d13c10
folder=$1
mkdir -p "$folder"
archive=$(npm pack "@ohif/app@$version" --pack-destination "$folder" --silent)
echo "$sha512  $folder/$archive" | sha512sum --check --quiet
rm -rf "$folder/ohif" "$folder/package"
tar -xzf "$folder/$archive" -C "$folder" package/dist package/package.json
mv "$folder/package/dist" "$folder/ohif"
rm -rf "$folder/package" "${folder:?}/$archive"
