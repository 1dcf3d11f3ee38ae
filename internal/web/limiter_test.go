package web_test

import (
	"context"
	"net/http"

	"messaging_api/internal/web"
)

// unlimited is a Limiter that lets everything through.
type unlimited struct{}

func (unlimited) Client(*http.Request) web.Client                           { return web.Client{} }
func (unlimited) Read(context.Context, web.Client, http.Header) *web.Denial { return nil }
func (unlimited) Missed(context.Context, web.Client, http.Header)           {}
func (unlimited) Size(context.Context, int) *web.Denial                     { return nil }
func (unlimited) Undo(context.Context)                                      {}
func (u unlimited) Create(context.Context, web.Client, http.Header) (web.Creation, *web.Denial) {
	return u, nil
}
