"""A trained graph that the user brought, and the rows it is compressed on."""
