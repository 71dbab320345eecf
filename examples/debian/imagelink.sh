#!/bin/sh
# The command of the installed service: at home in /var/lib/imagelink where nobody names another data folder.
program=/usr/lib/imagelink/bin/imagelink
home=/var/lib/imagelink
if [ -z "${IMAGELINK_DATA-}" ]; then
  IMAGELINK_DATA=$home
  export IMAGELINK_DATA
  # While no server runs, a command opens the data itself: files that root left there would be closed to the server.
  if [ ! -S $home/control.sock ] && [ "$(id -u)" -eq 0 ]; then
    case " $* " in
      # settings are root's, and doctor looks from outside
      *" --data"* | *" init "* | *" doctor "*) ;;
      *) exec setpriv --reuid=imagelink --regid=imagelink --init-groups $program "$@" ;;
    esac
  fi
fi
exec $program "$@"
