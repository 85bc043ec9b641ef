#!/bin/sh
# Runs the second stage of a tree that `rootstrap --foreign` made: runs the packages' scripts, then removes itself.
# Start it as root in the tree, with chroot or from a shell that is init. If it fails or loses power, start it again:
# it goes on where it stopped.
#
#   --verbose   show what the programs print, and do not write it to /rootstrap/log
#   --no-tidy   stop when all packages are configured
set -u

state=/rootstrap
log=$state/log
again='hint: put it right, then start /rootstrap/second-stage again: it goes on where it stopped'
verbose=false
tidy=true
mounted=false
PATH=/usr/sbin:/usr/bin:/sbin:/bin
export PATH

say() {
    printf '%s\n' "$@"
}

# fail ERROR [HINT...]: prints each on a line of its own and ends the script.
fail() {
    say "error: $1" >&2
    shift
    [ $# = 0 ] || say "$@" >&2
    exit 1
}

# fail_with_log ERROR: also prints the last lines of the log.
fail_with_log() {
    if $verbose; then fail "$1"; fi
    fail "$1" "$(tail -n 12 "$log" | sed 's/^/    | /')" "the whole log is in $log" "$again"
}

# run COMMAND: writes its output to the log, or shows it with --verbose.
run() {
    "$@" >&9 2>&1 9>&-
}

flush() {
    sync -f $state >/dev/null 2>&1 || sync >/dev/null 2>&1 || true
}

# step NAME COMMAND: runs the command, unless an earlier start of this script finished it.
step() {
    case $finished in *" $1 "*) return ;; esac
    step=$1
    shift
    "$@"
    # The work of the step must be on the disk before its name is in the list of finished steps.
    flush
    say "$step" >>$state/done || fail "cannot write to $state/done"
    finished="$finished$step "
}

# plan FIELD: prints the values of a field of the plan.
plan() {
    sed -n "s/^$1 //p" $state/plan
}

make_devices() {
    mkdir -p /dev
    while read -r name major minor; do
        [ -e "/dev/$name" ] || mknod -m 666 "/dev/$name" c "$major" "$minor"
    done <<'END'
@DEVICES@
END
    [ -c /dev/null ] || fail 'cannot make the device /dev/null'
}

mount_proc() {
    [ ! -e /proc/self/stat ] || return 0
    mkdir -p /proc
    if run mount -t proc proc /proc; then
        mounted=true
    else
        say 'warning: /proc cannot be mounted; the scripts of some packages may fail'
    fi
}

leave() {
    if $mounted; then run umount /proc || run umount -l /proc; fi
}

# stand_in PATH: replaces a program that starts services by the script on standard input, until all packages are
# configured. The program itself becomes PATH.REAL.
stand_in() {
    if [ -L "$1" ] || { [ ! -f "$1" ] && [ ! -f "$1.REAL" ]; }; then return; fi
    cat >"$1.rootstrap-new" && chmod 755 "$1.rootstrap-new" || fail "cannot write $1.rootstrap-new"
    # A file without this text is the program itself. dpkg may have unpacked it over an earlier stand-in.
    if [ -f "$1" ] && ! grep -q 'while the system is being made' "$1"; then mv -f "$1" "$1.REAL"; fi
    mv -f "$1.rootstrap-new" "$1"
}

install_stand_ins() {
    # makedev's scripts make no nodes in a /dev that has this file.
    if [ ! -e /dev/.devfsd ] && run mknod /dev/.devfsd c 1 3; then true >$state/devfsd; fi
    if [ ! -e @POLICY@ ] && [ -d "$(dirname @POLICY@)" ]; then
        say '@POLICY_TEXT@' >@POLICY@ && chmod 755 @POLICY@ || fail 'cannot write @POLICY@'
    fi
@STAND_INS@
}

remove_stand_ins() {
    if [ -e $state/devfsd ]; then rm -f /dev/.devfsd; fi
    for path in @REPLACED@; do
        if [ -f "$path.REAL" ]; then mv -f "$path.REAL" "$path"; fi
    done
    if [ -e @POLICY@ ] && [ "$(cat @POLICY@)" = '@POLICY_TEXT@' ]; then rm -f @POLICY@; fi
}

# Reads the status lines of dpkg. Prints what it does, and writes its first failure to a file.
progress() {
    while IFS= read -r line; do
        case $line in
        'status: '*' : error : '*) [ -e $state/failure ] || say "${line#status: }" >$state/failure ;;
        'processing: install: '*) $verbose || say "unpacking ${line##*: }" ;;
        'processing: configure: '*) $verbose || say "configuring ${line##*: }" ;;
        esac
    done
}

# run_dpkg ARGUMENT...: dpkg does not pass descriptor 8 on to the programs that it starts, so `progress` ends with dpkg.
run_dpkg() {
    rm -f $state/failure $state/status
    {
        dpkg --status-fd 8 "$@" 8>&1 >&9 2>&1 9>&-
        say $? >$state/status
    } | progress
    status=$(cat $state/status) && [ "$status" = 0 ]
}

# fail_of_dpkg ACTION: ends with an error that names the package and the script that failed.
fail_of_dpkg() {
    [ -e $state/failure ] || fail_with_log "cannot $1: exit status $status"
    reason=$(cat $state/failure)
    # dpkg names the package, or the file that it unpacks.
    package=${reason%% : error : *}
    package=${package##*/}
    package=${package%%_*}
    reason=${reason#* : error : }
    case $reason in
    *pre-installation*) script=preinst ;;
    *post-installation*) script=postinst ;;
    *pre-removal*) script=prerm ;;
    *post-removal*) script=postrm ;;
    *) fail_with_log "cannot install $package: $reason" ;;
    esac
    fail_with_log "cannot run the $script of $package: ${reason##*returned error }"
}

# unpack DEB...: dpkg does not wait for the disk here. `step` flushes its files before the step counts as finished.
unpack() {
    [ $# -gt 0 ] || return 0
    run_dpkg @UNPACK@ "$@" || fail_of_dpkg 'unpack with dpkg'
}

configure_all() {
    run_dpkg @CONFIGURE_ALL@
}

# run_preinst PACKAGE: runs the preinst as dpkg does at a first installation.
run_preinst() {
    directory=/var/lib/dpkg/tmp.ci
    rm -rf $directory
    cp -R -p "$state/preinst/$1" $directory || fail "cannot copy the scripts of $1"
    run env DPKG_MAINTSCRIPT_PACKAGE="${1%%:*}" DPKG_MAINTSCRIPT_PACKAGE_REFCOUNT=1 \
        DPKG_MAINTSCRIPT_ARCH="$(sed -n 's/^Architecture: *//p' $directory/control)" DPKG_MAINTSCRIPT_NAME=preinst \
        DPKG_MAINTSCRIPT_DEBUG=0 DPKG_RUNNING_VERSION="$(plan dpkg)" DPKG_ROOT= DPKG_ADMINDIR=/var/lib/dpkg \
        $directory/preinst install || fail_with_log "cannot run the preinst of ${1%%:*}: exit status $?"
    rm -rf $directory
}

diversions() {
    if [ -e /var/lib/dpkg/diversions ]; then cat /var/lib/dpkg/diversions; fi
}

# preinst PACKAGE [LATER PACKAGE...]: runs the preinst of the first package. The first stage has unpacked all files
# already, so this also moves the files for which the preinst added a diversion.
preinst() {
    [ -d "$state/preinst/$1" ] || return 0
    before=$state/diversions-$1
    [ -e "$before" ] || diversions >"$before"
    run_preinst "$1"
    restore_links "$1"
    shift
    [ "$(diversions)" != "$(cat "$before")" ] || return 0
    while IFS= read -r from && IFS= read -r to && IFS= read -r owner; do
        sed -n '1~3p' "$before" | grep -qxF -e "$from" || divert "$from" "$to" "$owner" "$@"
    done </var/lib/dpkg/diversions
}

# restore_links PACKAGE: if the preinst made a link of its package again with the same target, restores the link's time.
restore_links() {
    links=$state/links/$1
    [ -s "$links" ] || return 0
    [ "$(xargs -d '\n' stat -c '%Y %n' <"$links" 2>/dev/null)" != "$(cat "$links")" ] || return 0
    while read -r time path <&5 && IFS= read -r target <&6; do
        if [ -L "$path" ] && [ "$(readlink "$path")" = "$target" ]; then touch -h -d "@$time" "$path"; fi
    done 5<"$links" 6<"$links.targets"
}

# divert FROM TO OWNER [PACKAGE...]: moves what these packages have at FROM to TO, unless OWNER is the package.
divert() {
    from=$1 to=$2 owner=$3
    shift 3
    for other; do
        if [ "${other%%:*}" = "$owner" ] || ! grep -qxF -e "$from" "/var/lib/dpkg/info/$other.list"; then continue; fi
        directory=false
        while read -r mode uid gid time path; do
            [ "$path" = "$from" ] || continue
            # Other packages may use the directory, so it stays. An empty directory is made under the new name.
            directory=true
            [ ! -e "$to" ] && [ ! -L "$to" ] || continue
            mkdir -p "${to%/*}/" && mkdir "$to" && chown "$uid:$gid" "$to" && chmod "$mode" "$to" &&
                touch -d "@$time" "$to" || fail "cannot make $to"
        done <"$state/directories/$other"
        if ! $directory && { [ -e "$from" ] || [ -L "$from" ]; }; then
            mkdir -p "${to%/*}/" && mv -f "$from" "$to" || fail "cannot move $from to $to"
        fi
    done
}

run_ldconfig() {
    [ ! -e /sbin/ldconfig ] || run /sbin/ldconfig || fail_with_log "cannot run ldconfig: exit status $?"
}

# Some scripts need awk before the package that registers it is configured.
lend_awk() {
    if [ ! -e /usr/bin/awk ] && [ ! -L /usr/bin/awk ] && [ -e /usr/bin/mawk ]; then
        true >$state/awk && ln -s mawk /usr/bin/awk
    fi
}

take_awk() {
    if [ -e $state/awk ]; then rm -f /usr/bin/awk; fi
}

# The scripts of the core set need each other, so these packages are first configured without regard to dependencies.
# Then they are configured again, in the order of their dependencies.
configure_core() {
    core=
    for package in $(plan core); do
        # dpkg refuses a package that an earlier start of this script has configured.
        case $(dpkg-query -W -f '${Status}\n' "$package") in
        *' unpacked'* | *' half-configured'*) core="$core $package" ;;
        esac
    done
    [ -z "$core" ] || run_dpkg @CONFIGURE_FIRST@ $core || fail_of_dpkg 'configure the first packages'
    for package in $(plan core); do
        say "/^Package: $package\$/,/^\$/ { /^Status: install ok installed\$/,/^\$/ {" \
            's/^Status: .*/Status: install ok unpacked/' 's/^Version: \(.*\)/&\nConfig-Version: \1/' '} }'
    done >$state/unconfigure
    sed -f $state/unconfigure /var/lib/dpkg/status >$state/status-file &&
        cp -p $state/status-file /var/lib/dpkg/status-new && chmod 644 /var/lib/dpkg/status-new &&
        flush && mv -f /var/lib/dpkg/status-new /var/lib/dpkg/status || fail 'cannot write /var/lib/dpkg/status'
}

configure_first() {
    # A required package may need another one that it does not depend on. Then the second try succeeds.
    configure_all || configure_all || fail_of_dpkg 'configure the packages'
}

# Names of packages have no blanks, so word splitting is right here.
packages() {
    install_stand_ins
    step ldconfig run_ldconfig
    step lend-awk lend_awk
    set -- $(plan first)
    while [ $# -gt 0 ]; do
        step "preinst-$1" preinst "$@"
        shift
    done
    step take-awk take_awk
    step unpack-first unpack $(plan first-deb)
    step configure-core configure_core
    step configure-first configure_first
    for phase in $(plan phase); do
        step "unpack-$phase" unpack $(plan "deb-$phase")
        install_stand_ins
        step "configure-$phase" configure_phase
    done
    remove_stand_ins
}

configure_phase() {
    configure_all || fail_of_dpkg 'configure the packages'
}

# A file that exists before any script has run was put there by the user, so place_files does not replace it.
respect_files() {
    for path in $(plan file); do
        if [ -e "/$path" ]; then rm -f "$state/files/$path"; fi
    done
}

place_files() {
    for path in $(plan file); do
        case $path in
        etc/apt/*) needed=/etc/apt ;;
        var/lib/apt/*) needed=/var/lib/apt ;;
        *) if [ -e "/$path" ]; then continue; fi && needed=/etc ;;
        esac
        if [ -d $needed ] && [ -e "$state/files/$path" ]; then
            mkdir -p "$(dirname "/$path")" && cp -p "$state/files/$path" "/$path" || fail "cannot write /$path"
        fi
    done
}

# is_own DIRECTORY: succeeds if the directory is on the filesystem of /. A running system may have mounted something there.
is_own() {
    [ -d "/$1" ] && [ ! -L "/$1" ] && [ "$(stat -c %d "/$1")" = "$(stat -c %d /)" ]
}

# each DIRECTORY COMMAND: runs the command for each entry, with its path as the last argument.
each() {
    is_own "$1" || return 0
    each=$1
    shift
    for entry in "/$each"/* "/$each"/.[!.]* "/$each"/..?*; do
        if [ -e "$entry" ] || [ -L "$entry" ]; then "$@" "$entry"; fi
    done
}

remove() {
    rm -rf "/$1"
}

# empty DIRECTORY [NAME...]: removes everything in the directory except these names.
empty() {
    empty=$1
    shift
    each "$empty" remove_unless " $* "
}

remove_unless() {
    case $1 in *" ${2##*/} "*) ;; *) rm -rf "$2" ;; esac
}

# endings DIRECTORY SUFFIX...: removes the entries that end with one of the suffixes.
endings() {
    endings=$1
    shift
    for ending; do each "$endings" remove_if "$ending"; done
}

remove_if() {
    case $2 in *"$1") rm -rf "$2" ;; esac
}

truncate_file() {
    if [ -f "/$1" ] && [ ! -L "/$1" ]; then : >"/$1"; fi
}

# Sets the day of the last change of a password to the day of SOURCE_DATE_EPOCH if it is later. Older tools take it from
# the clock.
clamp_days() {
    for path in /etc/shadow /etc/shadow-; do
        if [ ! -f $path ] || [ -L $path ] || ! run command -v awk; then continue; fi
        cp -p $path $path.rootstrap-new &&
            awk -F: -v OFS=: -v day=$((SOURCE_DATE_EPOCH / 86400)) '$3 > day { $3 = day } 1' $path >$path.rootstrap-new &&
            mv -f $path.rootstrap-new $path
    done
}

# Removes from a slim tree what scripts put there although --slim leaves it out: first files, then directories that are
# now empty and links that now lead nowhere.
leave_out() {
    [ "$(plan slim)" = yes ] && [ -d /usr/share ] || return 0
    find /usr/share ! -type d ! -type l @UNWANTED@ -exec rm -f {} +
    while [ -n "$(find /usr/share @UNWANTED@ \( -type d -empty -o -xtype l \) -delete -print)" ]; do :; done
}

# Removes what a finished tree must not have, by the table that a single stage uses.
tidy_up() {
    leave_out
@TIDY@
    if [ -e /etc/machine-id ]; then rm -f /etc/machine-id && : >/etc/machine-id && chmod 644 /etc/machine-id; fi
    if [ -e /var/lib/dpkg/status-old ]; then cp -p /var/lib/dpkg/status /var/lib/dpkg/status-old; fi
    clamp_days
}

main() {
    for argument; do
        case $argument in
        --verbose) verbose=true ;;
        --no-tidy) tidy=false ;;
        *) say "usage: $state/second-stage [--verbose] [--no-tidy]" >&2 && exit 2 ;;
        esac
    done
    [ "$(id -u)" = 0 ] || fail 'cannot run the second stage: this is not root'
    [ -f $state/plan ] || fail "cannot run the second stage: there is no $state/plan, so this tree is no first stage"
    true >>$state/done || fail "cannot write $state/done" 'hint: a root that is read-only: mount -o remount,rw /'
    if [ "${ROOTSTRAP_ENVIRONMENT-}" != fixed ]; then
        exec env -i @ENVIRONMENT@ SOURCE_DATE_EPOCH="$(plan epoch)" ROOTSTRAP_ENVIRONMENT=fixed \
            /bin/sh $state/second-stage "$@"
    fi
    unset ROOTSTRAP_ENVIRONMENT
    cd / && umask 022
    if $verbose; then exec 9>&1; else exec 9>>$log; fi
    [ -c /dev/null ] || make_devices
    exec </dev/null
    trap leave EXIT
    trap 'exit 130' INT
    trap 'exit 143' TERM HUP
    mount_proc
    finished=" $(tr '\n' ' ' <$state/done)"
    step respect-files respect_files
    packages
    place_files
    $tidy || exit 0
    # umount makes a directory in /run, so it comes before tidy_up.
    leave
    mounted=false
    tidy_up
    flush
    # These programs brought the system here, and nothing else is in the directory.
    rm -f /debootstrap/debootstrap && rmdir /debootstrap 2>/dev/null
    rm -rf $state
    say 'the second stage is done: this system is complete'
    exit 0
}

main "$@"
