package web

import (
	"net/http"
	"strings"
)

// hint is a command that stores a file as it is, for a client whose request was
// refused: what curl -F, curl -T and wget --post-file send is none of our types
// or methods.
func (x *Exchange) hint(r *http.Request) string {
	if strings.HasPrefix(r.UserAgent(), "Wget/") {
		return " To send a file as it is: wget -qO- --header='Content-Type: text/plain' --post-file=FILE " + x.base() + "/"
	}
	return " To send a file as it is: curl --data-binary @FILE -H 'Content-Type: text/plain' " + x.base() + "/"
}
