# ngx_goim: the nginx module, the services behind it, and their tests.
#
#   make                 module and services, into build/
#   make help            the other targets

BUILD     ?= build
PREFIX    ?= /usr/local
DESTDIR   ?=
MODULEDIR ?= /usr/lib/nginx/modules
NGINX_SRC ?= /usr/share/nginx/src

ifeq ($(origin CC),default)
CC        := gcc
endif
CLANG     ?= clang
V         ?= 0
say        = $(if $(filter 0,$(V)),@printf '  %-6s %s\n' $(1) '$@' &&)
AR        ?= ar

OPT       ?= -O2
CFLAGS    ?= $(OPT) -g -fno-omit-frame-pointer
CPPFLAGS  ?=
LDFLAGS   ?=
SANITIZE  ?=

WARN      := -Wall -Wextra -Werror
GOIM_CFLAGS := -std=gnu11 $(WARN) -D_GNU_SOURCE -I. -I$(BUILD)/gen \
               -isystem /usr/include/postgresql \
               $(SANITIZE)
LIBS      := -lhiredis -lrdkafka -lprotobuf-c -ljansson -levent_pthreads \
             -levent -linih -lsqlite3 -lpq -lssl -lcrypto -lpthread

MODULE_SRCS := config $(wildcard ngx_goim_module/*.[ch] \
               ngx_goim_module/*.map common/*.[ch] proto/*.[ch])

obj        = $(patsubst %.c,$(BUILD)/obj/%.o,$(1))
COMMON    := $(call obj,$(wildcard common/*.c proto/*.c))
SVC       := $(call obj,$(wildcard svc/*.c))
LOGIC     := $(call obj,$(wildcard logic/*.c))
JOB       := $(call obj,$(wildcard job/*.c))
UNIT      := $(patsubst t/unit/%.c,$(BUILD)/t/%,$(wildcard t/unit/*_test.c))
FUZZ      := $(patsubst t/fuzz/%.c,$(BUILD)/fuzz/%,$(wildcard t/fuzz/*_fuzz.c))
LUA       := $(patsubst %,$(BUILD)/gen/%.h,$(wildcard svc/lua/*.lua \
               logic/lua/*.lua job/lua/*.lua))
BENCH     := $(patsubst bench/%.c,$(BUILD)/bench/%,$(wildcard bench/*.c)) \
             $(BUILD)/bench/follow

SERVICES  := $(if $(LOGIC),$(BUILD)/goim-logic) $(if $(JOB),$(BUILD)/goim-job)

.PHONY: all module services unit fuzzers fuzz demo test asan bench chaos \
        mutants clean install proto help list-tests FORCE
.DELETE_ON_ERROR:
.SECONDARY:

all: module services


help:
	@echo 'make             module and services, into $(BUILD)/'
	@echo 'make module      both .so files against $(NGINX_SRC)'
	@echo 'make services    goim-logic and goim-job'
	@echo 'make unit fuzzers    the C tests (make test runs them)'
	@echo 'make fuzz        each parser, for hours: SECONDS=3600, all together'
	@echo 'make demo        ./demo.sh: the whole system, until Ctrl-C'
	@echo 'make test        ./test.sh: all tests'
	@echo 'make asan        everything once more under ASan and UBSan'
	@echo 'make bench       the load clients: bench/README.md'
	@echo 'make chaos       faults at random: SECONDS=600 SEED=7'
	@echo 'make mutants     broken on purpose, each has to be caught: M=pattern'
	@echo 'make proto       proto/goim.pb-c.[ch] from proto/goim.proto'
	@echo 'make install     PREFIX=$(PREFIX) MODULEDIR=$(MODULEDIR) DESTDIR='
	@echo 'make clean       remove $(BUILD)/'


# ---- services ----------------------------------------------------------------

services: $(SERVICES)

# What the objects were compiled with: another compiler or flag builds anew.
$(BUILD)/flags: FORCE
	@mkdir -p $(@D)
	@echo '$(CC) $(GOIM_CFLAGS) $(CFLAGS) $(CPPFLAGS) $(LDFLAGS)' >$@.new
	@cmp -s $@.new $@ && rm $@.new || mv $@.new $@

# A script NAME.lua is `NAME_lua` in NAME.lua.h.
$(BUILD)/gen/%.lua.h: %.lua tools/lua.awk $(wildcard svc/lua/lib/*.lua \
        logic/lua/lib/*.lua job/lua/lib/*.lua)
	@mkdir -p $(@D)
	$(call say,LUA)awk -v c=1 -f tools/lua.awk $< >$@

$(BUILD)/obj/%.o: %.c $(BUILD)/flags | $(LUA)
	@mkdir -p $(@D)
	$(call say,CC)$(CC) $(GOIM_CFLAGS) $(CFLAGS) $(CPPFLAGS) -MMD -MP -c -o $@ $<

$(BUILD)/libcommon.a: $(COMMON)
	$(call say,AR)rm -f $@ && $(AR) rcs $@ $^

$(BUILD)/libsvc.a: $(SVC)
	$(call say,AR)rm -f $@ && $(AR) rcs $@ $^

$(BUILD)/goim-logic: $(LOGIC) $(BUILD)/libsvc.a $(BUILD)/libcommon.a
	$(call say,LINK)$(CC) $(SANITIZE) $(CFLAGS) $(LDFLAGS) -o $@ $^ $(LIBS) -lcurl -lm

$(BUILD)/goim-job: $(JOB) $(BUILD)/libsvc.a $(BUILD)/libcommon.a
	$(call say,LINK)$(CC) $(SANITIZE) $(CFLAGS) $(LDFLAGS) -o $@ $^ $(LIBS) -lm

-include $(patsubst %.o,%.d,$(COMMON) $(SVC) $(LOGIC) $(JOB))


# ---- module ------------------------------------------------------------------

# Debian's flags are not in the two .so files' rule: tools/build-module.sh
# knows how nginx was configured.
module: $(BUILD)/ngx_goim_module.so

$(BUILD)/ngx_goim_module.so: $(MODULE_SRCS) tools/build-module.sh
	$(call say,NGINX)CC='$(CC)' MODULE_CFLAGS='$(MODULE_CFLAGS)' \
	tools/build-module.sh '$(NGINX_SRC)' '$(BUILD)' $(if $(filter \
	    config %.h %.map tools/%,$?),fresh)


# ---- C tests -----------------------------------------------------------------

# t/unit/NAME_test.c is linked with libsvc and libcommon, and with what its
# first lines ask for:
#
#     /* LINK: logic/balance.c logic/nodes.c */    sources of the tree
#     /* NGINX */                                  nginx's headers

unit: $(UNIT) $(BUILD)/bench/follow
fuzzers: $(FUZZ)

# What is found stays in build/corpus, and is gone on from.
fuzz: fuzzers
	GOIM_FUZZ='$(or $(SECONDS),3600)' prove -v t/fuzz.t

link_srcs  = $(shell sed -n '1,20s|.*/\* LINK:\(.*\)\*/.*|\1|p' $(1))
nginx_incs = $(shell sed -n '1,20s|.*/\* NGINX \*/.*|yes|p' $(1))
NGINX_INCS = $(addprefix -I$(NGINX_SRC)/src/,core event event/modules \
             os/unix) -I$(BUILD)/nginx/objs -Ingx_goim_module \
             -Wno-unused-parameter

define unit_rule
$(BUILD)/t/$(1): t/unit/$(1).c $(call link_srcs,t/unit/$(1).c) \
        $(BUILD)/flags $(BUILD)/libsvc.a $(BUILD)/libcommon.a \
        | $(LUA) $(if $(call nginx_incs,t/unit/$(1).c),$(BUILD)/ngx_goim_module.so)
	@mkdir -p $$(@D)
	$$(call say,TEST)$(CC) $(GOIM_CFLAGS) $(CFLAGS) $(CPPFLAGS) \
	    $(if $(call nginx_incs,t/unit/$(1).c),$(NGINX_INCS)) \
	    -MMD -MP -MF $$@.dep -MT $$@ $(LDFLAGS) -o $$@ \
	    $$(filter %.c %.a,$$^) -lcmocka $(LIBS) -lm

-include $(BUILD)/t/$(1).dep
endef

$(foreach t,$(notdir $(UNIT)),$(eval $(call unit_rule,$(t))))

# Fuzz targets are clang's: libFuzzer with both sanitizers, one command each.
FUZZ_COMMON := $(wildcard common/*.c proto/*.c)

define fuzz_rule
$(BUILD)/fuzz/$(1): t/fuzz/$(1).c $(call link_srcs,t/fuzz/$(1).c) \
        $(FUZZ_COMMON) $(wildcard common/*.h proto/*.h svc/*.[ch] job/*.h \
        logic/*.h ngx_goim_module/*.h) $(LUA) \
        $(if $(call nginx_incs,t/fuzz/$(1).c),| $(BUILD)/ngx_goim_module.so)
	@mkdir -p $$(@D)
	$$(call say,FUZZ)$(CLANG) $(GOIM_CFLAGS) -O1 -g -fsanitize=fuzzer,address,undefined \
	    -fno-sanitize-recover=undefined \
	    $(if $(call nginx_incs,t/fuzz/$(1).c),$(NGINX_INCS)) \
	    -o $$@ t/fuzz/$(1).c \
	    $(sort $(call link_srcs,t/fuzz/$(1).c) $(FUZZ_COMMON)) $(LIBS) -lm
endef

$(foreach t,$(notdir $(FUZZ)),$(eval $(call fuzz_rule,$(t))))


# ---- under sanitizers --------------------------------------------------------

ASAN := -fsanitize=address,undefined -fno-sanitize-recover=undefined

# Each t/*.t runs there too, by a wrapper; one that says "# ASAN: no" does not.
ASAN_TESTS := $(patsubst %,$(BUILD)/asan/%,$(filter-out \
              $(shell grep -l '^\# ASAN: no' t/*.t),$(sort $(wildcard t/*.t))))

asan: $(ASAN_TESTS)
	tools/build-nginx.sh asan '$(BUILD)/asan'
	$(MAKE) BUILD='$(BUILD)/asan' SANITIZE='$(ASAN)' OPT=-O1 services unit

$(BUILD)/asan/t/%.t: Makefile
	@mkdir -p $(@D)
	@printf '$$ENV{GOIM_ASAN} = 1;\nexec $$^X, "t/$*.t";\n' >$@

# What prove is given, in this order: first what says "# LONG", then those under
# the sanitizers, which take longer: nothing long is left alone at the end.
TESTS := $(ASAN_TESTS) $(sort $(wildcard t/*.t))
LONG  := $(shell grep -l '^\# LONG' t/*.t)
LONG  := $(filter $(LONG) $(addprefix $(BUILD)/asan/,$(LONG)),$(TESTS))

list-tests:
	@echo $(LONG) $(filter-out $(LONG),$(TESTS))


# ---- the rest ----------------------------------------------------------------

bench: $(BENCH)

$(BUILD)/bench/%: bench/%.c $(BUILD)/flags $(BUILD)/libcommon.a
	@mkdir -p $(@D)
	$(call say,BENCH)$(CC) $(GOIM_CFLAGS) $(CFLAGS) $(CPPFLAGS) $(LDFLAGS) -o $@ \
	    $(filter %.c %.a,$^) $(LIBS) -lm

$(BUILD)/bench/follow: $(wildcard bench/follow/*.[ch]) $(BUILD)/flags \
        $(BUILD)/libcommon.a
	@mkdir -p $(@D)
	$(call say,BENCH)$(CC) $(GOIM_CFLAGS) $(CFLAGS) $(CPPFLAGS) $(LDFLAGS) -o $@ \
	    $(filter %.c %.a,$^)

chaos: all
	GOIM_SECONDS='$(or $(SECONDS),600)' GOIM_SEED='$(SEED)' prove -v t/chaos.t

mutants:
	tools/mutants.sh '$(BUILD)' $(patsubst %,t/mutants/*%*.patch,$(M))

# Checked in, so that nginx's own build needs no protoc.
proto:
	cd proto && protoc-c --c_out=. goim.proto

demo:
	./demo.sh

test:
	./test.sh

clean:
	rm -rf '$(BUILD)'

install: all
	install -d '$(DESTDIR)$(MODULEDIR)' '$(DESTDIR)$(PREFIX)/bin' \
	    '$(DESTDIR)$(PREFIX)/share/ngx_goim/web' \
	    '$(DESTDIR)$(PREFIX)/share/ngx_goim/conf'
	install -m 644 $(BUILD)/ngx_*.so '$(DESTDIR)$(MODULEDIR)'
	install -m 755 $(SERVICES) '$(DESTDIR)$(PREFIX)/bin'
	cp -R web/. '$(DESTDIR)$(PREFIX)/share/ngx_goim/web'
	cp -R conf/. '$(DESTDIR)$(PREFIX)/share/ngx_goim/conf'
