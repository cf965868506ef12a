/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* How maps are declared: each kind in one line. */
#ifndef AX_BPF_MAP_KINDS_H
#define AX_BPF_MAP_KINDS_H

#define AX_ARRAY(name_, type_, entries_, flags_)                                                   \
	struct {                                                                                   \
		__uint(type, BPF_MAP_TYPE_ARRAY);                                                  \
		__uint(max_entries, entries_);                                                     \
		__uint(map_flags, flags_);                                                         \
		__type(key, __u32);                                                                \
		__type(value, type_);                                                              \
	} name_ SEC(".maps")

#define AX_PERCPU(name_, type_, entries_)                                                          \
	struct {                                                                                   \
		__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);                                           \
		__uint(max_entries, entries_);                                                     \
		__type(key, __u32);                                                                \
		__type(value, type_);                                                              \
	} name_ SEC(".maps")

#define AX_HASH(name_, key_, type_, entries_)                                                      \
	struct {                                                                                   \
		__uint(type, BPF_MAP_TYPE_HASH);                                                   \
		__uint(max_entries, entries_);                                                     \
		__type(key, key_);                                                                 \
		__type(value, type_);                                                              \
	} name_ SEC(".maps")

#endif
